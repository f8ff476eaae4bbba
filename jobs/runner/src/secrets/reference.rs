//! What a reference to a secret looks like: `file:PATH`, `secret:gcp:projects/P/secrets/S[/versions/V][#FIELD]`,
//! `secret:aws:NAME[#FIELD]`. It reads nothing.

use aqueduct_core::{Error, Result};

/// A reference, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reference {
    File(String),
    /// `projects/P/secrets/S/versions/V`
    Gcp {
        version: String,
        field: Option<Field>,
    },
    /// A name or an ARN.
    Aws {
        id: String,
        field: Option<Field>,
    },
}

/// A field of a secret that is a JSON object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field(pub(super) String);

/// Takes a reference apart, or says how it must look.
pub(super) fn parse(text: &str) -> Result<Reference> {
    if let Some(path) = text.strip_prefix("file:") {
        return Ok(Reference::File(path.to_owned()));
    }
    let wrong = |why: &str| Err(Error::config(format!("'${{{text}}}' is not usable: {why}")));
    let Some((provider, rest)) = text.strip_prefix("secret:").and_then(|rest| rest.split_once(':')) else {
        return wrong("write ${secret:gcp:projects/PROJECT/secrets/NAME} or ${secret:aws:NAME}");
    };
    let (name, field) = match rest.split_once('#') {
        Some((_, "")) => return wrong("a field's name is missing after '#'"),
        Some((name, field)) => (name, Some(Field(field.to_owned()))),
        None => (rest, None),
    };
    match provider {
        _ if name.is_empty() => wrong("its name is missing"),
        "aws" => Ok(Reference::Aws { id: name.to_owned(), field }),
        "gcp" => {
            let parts: Vec<&str> = name.split('/').collect();
            match parts.as_slice() {
                _ if parts.iter().any(|part| part.is_empty()) => wrong("a part between two '/' is empty"),
                ["projects", _, "secrets", _] => {
                    Ok(Reference::Gcp { version: format!("{name}/versions/latest"), field })
                }
                ["projects", _, "secrets", _, "versions", _] => Ok(Reference::Gcp { version: name.to_owned(), field }),
                _ => wrong(
                    "it must look like projects/PROJECT/secrets/NAME or projects/PROJECT/secrets/NAME/versions/VERSION",
                ),
            }
        }
        _ => wrong("its provider must be gcp: or aws:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_fields() {
        let gcp = |version: &str, field: Option<&str>| Reference::Gcp {
            version: version.to_owned(),
            field: field.map(|name| Field(name.to_owned())),
        };
        assert_eq!(
            parse("secret:gcp:projects/p/secrets/s").unwrap(),
            gcp("projects/p/secrets/s/versions/latest", None)
        );
        let exact = "projects/p/secrets/s/versions/3";
        assert_eq!(parse(&format!("secret:gcp:{exact}#key")).unwrap(), gcp(exact, Some("key")));
        let arn = "arn:aws:secretsmanager:eu-west-1:1:secret:AmazonMSK_x";
        let field = Some(Field("password".to_owned()));
        assert_eq!(parse(&format!("secret:aws:{arn}#password")).unwrap(), Reference::Aws { id: arn.to_owned(), field });
    }
}

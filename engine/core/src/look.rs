//! How far a connection came: the words in which a failed one is told to an operator. It opens nothing and asks nobody.

/// What a connection did not get past. Everything before it was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hurdle {
    /// Nobody answers at the address.
    Reach,
    /// Somebody answers, and one side does not believe the other: certificates, passwords, tokens.
    Authenticate,
    /// Logged in, and the thing is not there for this user: a missing right, or a thing that does not exist.
    Permit,
    /// It is there and may be used, and is not what the job needs, such as a column of another type.
    Fit,
}

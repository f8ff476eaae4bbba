//! The contents of the stand-in: buckets, keys, generations, uploads in parts, lists. No HTTP here.

use axum::http::HeaderMap;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::ops::Bound;

/// How many generations of an object can still be read.
const KEPT_GENERATIONS: usize = 3;

/// One generation of an object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) generation: u64,
    pub(super) data: Bytes,
    pub(super) modified: DateTime<Utc>,
    /// Content type, cache control, user metadata: given back as they came.
    pub(super) headers: HeaderMap,
}

impl Object {
    /// Quoted, different for each generation.
    pub(super) fn etag(&self) -> String {
        format!("\"g{}\"", self.generation)
    }
}

/// A page of a list.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) objects: Vec<(String, Object)>,
    pub(super) prefixes: Vec<String>,
    /// Where the next page begins, if there is one.
    pub(super) next: Option<String>,
}

/// What a list asks for.
#[derive(Debug)]
pub(super) struct ListQuery<'a> {
    pub(super) prefix: &'a str,
    pub(super) delimiter: Option<&'a str>,
    /// Exclusive.
    pub(super) after: Option<&'a str>,
    pub(super) limit: usize,
}

#[derive(Debug)]
struct Upload {
    headers: HeaderMap,
    parts: BTreeMap<u32, Bytes>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// `bucket/key` to generations, oldest first. A bucket's name holds no `/`.
    objects: BTreeMap<String, Vec<Object>>,
    uploads: BTreeMap<String, Upload>,
    last_generation: u64,
}

impl Objects {
    /// Writes, if `expected` (0: must not exist) is `None` or the current generation. `Err` is the failed precondition.
    pub(super) fn put(
        &mut self,
        name: &str,
        data: Bytes,
        headers: HeaderMap,
        expected: Option<u64>,
    ) -> Result<Object, ()> {
        let current = self.get(name, None).map_or(0, |object| object.generation);
        if expected.is_some_and(|expected| expected != current) {
            return Err(());
        }
        self.last_generation += 1;
        let object = Object { generation: self.last_generation, data, modified: Utc::now(), headers };
        let generations = self.objects.entry(name.to_owned()).or_default();
        generations.push(object.clone());
        let surplus = generations.len().saturating_sub(KEPT_GENERATIONS);
        generations.drain(..surplus);
        Ok(object)
    }

    /// The newest generation, or the one that is asked for.
    pub(super) fn get(&self, name: &str, generation: Option<u64>) -> Option<&Object> {
        let generations = self.objects.get(name)?;
        match generation {
            None => generations.last(),
            Some(wanted) => generations.iter().find(|object| object.generation == wanted),
        }
    }

    /// True if there was something to delete.
    pub(super) fn delete(&mut self, name: &str) -> bool {
        self.objects.remove(name).is_some()
    }

    /// A page of the keys of a bucket, ascending. A prefix counts as one entry, as in the real list.
    pub(super) fn list(&self, bucket: &str, query: &ListQuery<'_>) -> Page {
        let root = format!("{bucket}/");
        let first = format!("{root}{}", query.prefix.max(query.after.unwrap_or_default()));
        let mut page = Page::default();
        for (name, generations) in self.objects.range::<String, _>((Bound::Included(first), Bound::Unbounded)) {
            let Some(key) = name.strip_prefix(&root) else { break };
            let Some(rest) = key.strip_prefix(query.prefix) else { break };
            let folded = query
                .delimiter
                .and_then(|delimiter| Some(&key[..query.prefix.len() + rest.find(delimiter)? + delimiter.len()]));
            let entry = folded.unwrap_or(key);
            if query.after.is_some_and(|after| key <= after || entry <= after)
                || page.prefixes.last().is_some_and(|last| last == entry)
            {
                continue;
            }
            if page.objects.len() + page.prefixes.len() >= query.limit {
                // The last entry that was given is where the next page begins.
                page.next =
                    page.prefixes.last().into_iter().chain(page.objects.last().map(|(key, _)| key)).max().cloned();
                break;
            }
            match folded {
                Some(prefix) => page.prefixes.push(prefix.to_owned()),
                None => page.objects.extend(generations.last().map(|object| (key.to_owned(), object.clone()))),
            }
        }
        page
    }

    /// Begins an upload in parts and returns its id.
    pub(super) fn begin(&mut self, headers: HeaderMap) -> String {
        self.last_generation += 1;
        let id = format!("upload-{}", self.last_generation);
        self.uploads.insert(id.clone(), Upload { headers, parts: BTreeMap::new() });
        id
    }

    /// Takes a part; returns its tag, or `None` for an unknown upload.
    pub(super) fn part(&mut self, id: &str, number: u32, data: Bytes) -> Option<String> {
        self.uploads.get_mut(id)?.parts.insert(number, data);
        Some(format!("\"{id}-{number}\""))
    }

    /// Makes the object of an upload, which ends.
    pub(super) fn complete(&mut self, id: &str, name: &str) -> Option<Object> {
        let upload = self.uploads.remove(id)?;
        let data: Vec<u8> = upload.parts.into_values().flatten().collect();
        self.put(name, data.into(), upload.headers, None).ok()
    }

    /// Forgets an upload.
    pub(super) fn abort(&mut self, id: &str) -> bool {
        self.uploads.remove(id).is_some()
    }
}

//! The only unsafe code: batches of messages straight from librdkafka's partition queues, and three calls that the safe
//! wrapper lacks (cached watermarks, topic ids, wake-ups).
//!
//! A message's bytes stay in librdkafka's fetch buffer until its [`Messages`] are dropped. It neither decodes nor decides.
//!
//! Ownership, on which every safety comment rests: [`PartitionQueue`] and [`Messages`] hold an [`Arc`] of the consumer
//! *after* their own native handles, so that handles are always given back before the client is destroyed.

use crate::context::Context;
use crate::login::Pair;
use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode as Code;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// A consumer whose context is ours.
pub(crate) type Consumer = BaseConsumer<Context>;

/// Wakes a reader when one of its queues gets its first message. Shared by all queues of the reader.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    /// From now on only later rings count.
    pub(crate) fn reset(&self) {
        *self.rung.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = false;
    }

    /// Waits for a ring since the last reset; true when there was one.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let rung = self.rung.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let waited = self.changed.wait_timeout_while(rung, timeout, |rung| !*rung);
        waited.is_ok_and(|(rung, _)| *rung)
    }

    fn ring(&self) {
        *self.rung.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = true;
        self.changed.notify_all();
    }
}

unsafe extern "C" fn ring(_: *mut sys::rd_kafka_t, bell: *mut c_void) {
    // SAFETY: `bell` is the `Bell` that the queue holds an `Arc` of; the callback is switched off, under the queue's lock,
    // before that `Arc` is dropped.
    unsafe { &*bell.cast::<Bell>() }.ring();
}

/// The messages of one partition, taken out of the consumer's common queue.
#[derive(Debug)]
pub(crate) struct PartitionQueue {
    queue: NonNull<sys::rd_kafka_queue_t>,
    // Kept for the callback's pointer.
    bell: Arc<Bell>,
    consumer: Held,
}

// SAFETY: librdkafka's queues are thread-safe; the callback touches only the `Bell`, which is `Sync`.
unsafe impl Send for PartitionQueue {}

/// The consumer, with a `Debug` that `BaseConsumer` does not have.
#[derive(Clone)]
struct Held(Arc<Consumer>);

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "consumer {:p}", Arc::as_ptr(&self.0))
    }
}

impl PartitionQueue {
    /// Splits the partition's queue off. To be called before the partition is assigned: a queue that the application has
    /// (un)forwarded is left alone by `assign`, so no message can slip into the common queue.
    pub(crate) fn split(consumer: &Arc<Consumer>, topic: &str, partition: i32, bell: &Arc<Bell>) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        // SAFETY: the client is alive (we hold it); the topic is a C string for the length of the call. The returned handle
        // is ours and is given back in `drop`.
        let queue =
            unsafe { sys::rd_kafka_queue_get_partition(consumer.client().native_ptr(), topic.as_ptr(), partition) };
        let queue = NonNull::new(queue)?;
        // SAFETY: the handle is valid. Forwarding to null makes the queue its own. The bell outlives the callback: see `drop`.
        unsafe {
            sys::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut());
            sys::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(ring), Arc::as_ptr(bell).cast_mut().cast());
        }
        Some(Self { queue, bell: Arc::clone(bell), consumer: Held(Arc::clone(consumer)) })
    }

    /// Takes up to `max` messages and notices that are there; does not wait.
    pub(crate) fn drain(&self, max: usize) -> Messages {
        let mut list: Vec<*mut sys::rd_kafka_message_t> = Vec::with_capacity(max);
        // SAFETY: the handle is valid; the buffer has room for `max` pointers, and librdkafka writes as many as it returns,
        // each of them a message that is ours to destroy.
        let count = unsafe { sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, list.as_mut_ptr(), max) };
        // SAFETY: the first `count` elements were written (a negative count means none).
        unsafe { list.set_len(usize::try_from(count).unwrap_or(0)) };
        Messages { list, _consumer: self.consumer.clone() }
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        // SAFETY: the handle is valid and not used again. Disabling takes the queue's lock, under which the callback runs: after
        // it nobody has the bell's pointer. The consumer field is dropped after this body.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
        // The pointer in the callback came from here.
        let _ = &self.bell;
    }
}

/// Messages, and errors in the place of messages, in the order of the partition. Destroyed on drop.
#[derive(Debug)]
pub(crate) struct Messages {
    list: Vec<*mut sys::rd_kafka_message_t>,
    // After `list`: messages go before the client they came from.
    _consumer: Held,
}

// SAFETY: messages are plain memory with atomic reference counts inside librdkafka; reading them from another thread and
// destroying them there is allowed. Not `Sync`: headers are parsed into the message at the first look.
unsafe impl Send for Messages {}

impl Drop for Messages {
    fn drop(&mut self) {
        for message in &self.list {
            // SAFETY: each pointer is a message of ours, destroyed once; the client is still alive.
            unsafe { sys::rd_kafka_message_destroy(*message) };
        }
    }
}

/// A look at one message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageRef<'a> {
    message: *const sys::rd_kafka_message_t,
    _messages: PhantomData<&'a Messages>,
}

impl Messages {
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// The message at `index`; panics beyond the end.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> MessageRef<'_> {
        MessageRef { message: self.list[index], _messages: PhantomData }
    }

    /// Calls `visit` with name and value of each header of the message at `index`, in order.
    pub(crate) fn headers(&self, index: usize, mut visit: impl FnMut(&str, Option<&[u8]>)) {
        let message = self.list[index];
        let mut headers = ptr::null_mut();
        // SAFETY: the message is valid; librdkafka parses the headers into it on the first call (on this thread: we are
        // not `Sync`) and keeps owning them.
        let code = unsafe { sys::rd_kafka_message_headers(message, &mut headers) };
        if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        for at in 0.. {
            let (mut name, mut value, mut size): (*const c_char, *const c_void, usize) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the headers live as long as the message; the three out-pointers are ours.
            let code = unsafe { sys::rd_kafka_header_get_all(headers, at, &mut name, &mut value, &mut size) };
            if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            // SAFETY: on success the name is a C string and the value null or `size` bytes, both inside the headers.
            let (name, value) = unsafe { (CStr::from_ptr(name), bytes(value, size)) };
            visit(&name.to_string_lossy(), value);
        }
    }
}

/// Null is `None`; a pointer is a slice, also when it is empty.
///
/// # Safety
/// A `data` that is not null points to `len` bytes that live and stay as they are for `'a`.
unsafe fn bytes<'a>(data: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!data.is_null()).then(|| unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len) })
}

impl<'a> MessageRef<'a> {
    #[inline]
    fn fields(self) -> &'a sys::rd_kafka_message_t {
        // SAFETY: the pointer is a valid message, which nobody changes, for as long as its `Messages` live.
        unsafe { &*self.message }
    }

    /// Whether it is a record, and no error in the place of one.
    #[inline]
    pub(crate) fn is_record(self) -> bool {
        self.fields().err == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
    }

    /// The error that stands in the place of a message, with librdkafka's text.
    pub(crate) fn error(self) -> Option<(Code, String)> {
        if self.is_record() {
            return None;
        }
        let code = self.fields().err;
        // SAFETY: the message is valid; the text is null or a C string that lives as long as the message.
        let text = unsafe {
            let text = sys::rd_kafka_message_errstr(self.message);
            if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
        };
        Some((code.into(), text))
    }

    #[inline]
    pub(crate) fn offset(self) -> i64 {
        self.fields().offset
    }

    /// The value; `None` is a tombstone.
    #[inline]
    pub(crate) fn value(self) -> Option<&'a [u8]> {
        let fields = self.fields();
        // SAFETY: payload and len describe bytes inside the message's fetch buffer, which `'a` keeps alive.
        unsafe { bytes(fields.payload, fields.len) }
    }

    pub(crate) fn key(self) -> Option<&'a [u8]> {
        let fields = self.fields();
        // SAFETY: as for the value.
        unsafe { bytes(fields.key, fields.key_len) }
    }

    /// Milliseconds since 1970 and Flink's name of the kind.
    pub(crate) fn timestamp(self) -> (Option<i64>, &'static str) {
        use sys::rd_kafka_timestamp_type_t as Kind;
        let mut kind = Kind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is valid, the out-pointer ours.
        let millis = unsafe { sys::rd_kafka_message_timestamp(self.message, &mut kind) };
        match kind {
            Kind::RD_KAFKA_TIMESTAMP_CREATE_TIME => (Some(millis), "CreateTime"),
            Kind::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => (Some(millis), "LogAppendTime"),
            Kind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => (None, "NoTimestampType"),
        }
    }

    /// The leader epoch of the record's batch, if the broker tells it.
    pub(crate) fn leader_epoch(self) -> Option<i32> {
        // SAFETY: the message is valid.
        let epoch = unsafe { sys::rd_kafka_message_leader_epoch(self.message) };
        (epoch >= 0).then_some(epoch)
    }
}

/// From now on the client logs in with these, at each connection that it makes.
pub(crate) fn set_credentials(consumer: &Consumer, pair: &Pair) {
    let (Ok(username), Ok(password)) = (CString::new(pair.username.as_str()), CString::new(pair.password.as_str()))
    else {
        tracing::warn!("a user or password with a zero byte cannot be used");
        return;
    };
    // SAFETY: the client is alive, the texts are C strings for the length of the call, and librdkafka copies them. An error is
    // ours to destroy.
    unsafe {
        let error =
            sys::rd_kafka_sasl_set_credentials(consumer.client().native_ptr(), username.as_ptr(), password.as_ptr());
        if !error.is_null() {
            sys::rd_kafka_error_destroy(error);
            tracing::warn!("librdkafka does not take the new password");
        }
    }
}

/// First and next offset as the last fetch told them; `None` before the first fetch.
pub(crate) fn cached_watermarks(consumer: &Consumer, topic: &str, partition: i32) -> Option<(i64, i64)> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client is alive, the topic a C string, the out-pointers ours. No network is involved.
    let code = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            consumer.client().native_ptr(),
            topic.as_ptr(),
            partition,
            &mut low,
            &mut high,
        )
    };
    (code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some((low, high))
}

/// What a broker says of a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Described {
    /// Brokers before 2.8 have none.
    pub(crate) id: Option<String>,
    /// Whether this user may write; `None` where the broker does not tell.
    pub(crate) may_write: Option<bool>,
}

/// The ids of `topics`, by name; those without one are left out.
pub(crate) fn topic_ids(consumer: &Consumer, topics: &[String], deadline: Duration) -> BTreeMap<String, String> {
    let found = describe_topics(consumer, topics, deadline).into_iter();
    found.filter_map(|(topic, described)| Some((topic, described.id?))).collect()
}

/// Ids of `topics` and this user's rights, by name; without those that no broker tells of in time.
pub(crate) fn describe_topics(
    consumer: &Consumer,
    topics: &[String],
    deadline: Duration,
) -> BTreeMap<String, Described> {
    let Ok(names) = topics.iter().map(|topic| CString::new(topic.as_str())).collect::<Result<Vec<_>, _>>() else {
        return BTreeMap::new();
    };
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let millis = i32::try_from(deadline.as_millis()).unwrap_or(i32::MAX);
    let mut described = BTreeMap::new();
    // SAFETY: every object that is made here is destroyed below, in reverse, and none is used afterwards: the event owns the
    // result, the descriptions and the texts that are read from it. The request keeps copies of its arguments, so that
    // destroying them (and the queue) before a late answer is allowed. Null is checked wherever librdkafka may return it.
    unsafe {
        let client = consumer.client().native_ptr();
        let collection = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let options =
            sys::rd_kafka_AdminOptions_new(client, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        let mut text: [c_char; 256] = [0; 256];
        sys::rd_kafka_AdminOptions_set_request_timeout(options, millis, text.as_mut_ptr(), text.len());
        let refused = sys::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
        if !refused.is_null() {
            // Then the answer comes without them.
            sys::rd_kafka_error_destroy(refused);
        }
        let queue = sys::rd_kafka_queue_new(client);
        sys::rd_kafka_DescribeTopics(client, collection, options, queue);
        let event = sys::rd_kafka_queue_poll(queue, millis);
        let result = if event.is_null() { ptr::null() } else { sys::rd_kafka_event_DescribeTopics_result(event) };
        if !result.is_null() {
            let mut count = 0;
            let found = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
            for at in 0..count {
                let topic = *found.add(at);
                let id = sys::rd_kafka_TopicDescription_topic_id(topic);
                let text = if id.is_null() { ptr::null() } else { sys::rd_kafka_Uuid_base64str(id) };
                let known = !text.is_null() && sys::rd_kafka_Uuid_most_significant_bits(id) != 0;
                let id = known.then(|| CStr::from_ptr(text).to_string_lossy().into_owned());
                let name = CStr::from_ptr(sys::rd_kafka_TopicDescription_name(topic)).to_string_lossy().into_owned();
                described.insert(name, Described { id, may_write: may_write(topic) });
            }
        }
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_TopicCollection_destroy(collection);
    }
    described
}

/// Whether the rights that came with a description hold the one to write; `None` where none came.
///
/// # Safety
/// `topic` is a description that lives for the length of the call.
unsafe fn may_write(topic: *const sys::rd_kafka_TopicDescription_t) -> Option<bool> {
    let mut count = 0;
    // SAFETY: the caller's promise; the list belongs to the description and has `count` elements. They are read as numbers,
    // because a number that the enum does not know would be no value of it.
    unsafe {
        let rights = sys::rd_kafka_TopicDescription_authorized_operations(topic, &mut count).cast::<u32>();
        if rights.is_null() || count == 0 {
            return None;
        }
        let write = sys::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_WRITE as u32;
        Some(std::slice::from_raw_parts(rights, count).contains(&write))
    }
}

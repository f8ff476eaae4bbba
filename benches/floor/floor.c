/* The floors of the benchmark: what a bare librdkafka client costs, and what a program written by hand for one query costs.
 *
 *   raw     consume every record, count bytes
 *   touch   the same, and read every byte of every value
 *   query   per minute and size_label: count, sum, least and mean of size_bytes, latest timestamp. No validation, no state, no
 *           sink, no second thread of its own: the lower bound for this query on this client
 *
 *   project product_id, size_label, size_bytes and timestamp of the records with product_id below 20000, as JSON into the topic
 *           that stands in the place of the file, in transactions of 10 s: the lower bound for that query
 *
 * It reads each partition from its first offset to its present end, and stops. Rows go to a file: minute_ms,label,count,sum,least,latest_ms,mean. */
#include <librdkafka/rdkafka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH 4096

static void die(const char *what, const char *why) {
  fprintf(stderr, "floor: %s: %s\n", what, why);
  exit(4);
}

/* --- the query: one pass over the fields, an open-addressing table ------------------------------------------------- */

typedef struct {
  uint64_t hash;
  int64_t minute, count, sum, least, latest;
  uint32_t at, length; /* the label in the arena; length + 1, so that 0 is an empty slot */
} Group;

static Group *groups;
static size_t capacity, used;
static char *arena;
static size_t arena_used, arena_size;

static uint64_t mix(uint64_t h) {
  h ^= h >> 32;
  h *= 0xd6e8feb86659fd93ULL;
  h ^= h >> 32;
  return h;
}

static uint64_t hash_of(const char *label, size_t length, int64_t minute) {
  uint64_t h = (uint64_t)minute * 0x9e3779b97f4a7c15ULL + length;
  while (length >= 8) {
    uint64_t word;
    memcpy(&word, label, 8);
    h = mix(h ^ word);
    label += 8;
    length -= 8;
  }
  uint64_t rest = 0;
  memcpy(&rest, label, length);
  return mix(h ^ rest);
}

static void grow(void) {
  size_t old = capacity;
  Group *before = groups;
  capacity = old ? old * 2 : 1024;
  groups = calloc(capacity, sizeof *groups);
  if (!groups) die("memory", "exhausted");
  for (size_t i = 0; i < old; i++) {
    if (!before[i].length) continue;
    size_t at = before[i].hash & (capacity - 1);
    while (groups[at].length) at = (at + 1) & (capacity - 1);
    groups[at] = before[i];
  }
  free(before);
}

static void add(const char *label, size_t length, int64_t size, int64_t time) {
  int64_t minute = time - time % 60000;
  uint64_t hash = hash_of(label, length, minute);
  if (used * 4 >= capacity * 3) grow();
  size_t at = hash & (capacity - 1);
  Group *group;
  for (;; at = (at + 1) & (capacity - 1)) {
    group = &groups[at];
    if (!group->length) break;
    if (group->hash == hash && group->minute == minute && group->length == length + 1 &&
        !memcmp(arena + group->at, label, length)) {
      group->count++;
      group->sum += size;
      if (size < group->least) group->least = size;
      if (time > group->latest) group->latest = time;
      return;
    }
  }
  if (arena_used + length > arena_size) {
    arena_size = arena_size ? arena_size * 2 : 1 << 20;
    arena = realloc(arena, arena_size);
    if (!arena) die("memory", "exhausted");
  }
  memcpy(arena + arena_used, label, length);
  *group = (Group){hash, minute, 1, size, size, time, (uint32_t)arena_used, (uint32_t)length + 1};
  arena_used += length;
  used++;
}

static int64_t digits(const char *text, int count) {
  int64_t value = 0;
  while (count--) value = value * 10 + (*text++ - '0');
  return value;
}

/* 2026-01-01T00:00:00.000Z, in milliseconds since 1970. */
static int64_t time_of(const char *t) {
  int64_t y = digits(t, 4), m = digits(t + 5, 2), d = digits(t + 8, 2);
  y -= m <= 2;
  int64_t era = y / 400, yoe = y - era * 400, doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
  int64_t days = era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
  int64_t seconds = days * 86400 + digits(t + 11, 2) * 3600 + digits(t + 14, 2) * 60 + digits(t + 17, 2);
  return seconds * 1000 + (t[19] == '.' ? digits(t + 20, 3) : 0);
}

/* What the queries need of a record. */
typedef struct {
  const char *label, *time;
  size_t length;
  int64_t size, product;
} Record;

/* One pass: names are compared, text values are passed over by their closing quote (the records have no escapes). */
static inline __attribute__((always_inline)) Record scan(const char *at, const char *end, int with_product) {
  Record record = {"default", NULL, 7, 0, -1};
  while (at < end) {
    const char *name = memchr(at, '"', (size_t)(end - at));
    if (!name) break;
    name++;
    const char *close = memchr(name, '"', (size_t)(end - name));
    if (!close || close + 2 > end) break;
    size_t name_length = (size_t)(close - name);
    at = close + 2; /* the colon */
    if (*at == '"') {
      const char *text = at + 1;
      const char *stop = memchr(text, '"', (size_t)(end - text));
      if (!stop) break;
      if (name_length == 10 && !memcmp(name, "size_label", 10)) {
        record.label = text;
        record.length = (size_t)(stop - text);
      } else if (name_length == 9 && !memcmp(name, "timestamp", 9)) {
        record.time = text;
      }
      at = stop + 1;
    } else if (name_length == 10 && !memcmp(name, "size_bytes", 10)) {
      while (at < end && *at >= '0' && *at <= '9') record.size = record.size * 10 + (*at++ - '0');
    } else if (with_product && name_length == 10 && !memcmp(name, "product_id", 10)) {
      record.product = 0;
      while (at < end && *at >= '0' && *at <= '9') record.product = record.product * 10 + (*at++ - '0');
    }
  }
  return record;
}

static void count(const char *at, const char *end) {
  Record record = scan(at, end, 0);
  if (record.time) add(record.label, record.length, record.size, time_of(record.time));
}

static void write_rows(const char *path) {
  FILE *file = fopen(path, "w");
  if (!file) die(path, "cannot be written");
  for (size_t i = 0; i < capacity; i++) {
    Group *g = &groups[i];
    if (!g->length) continue;
    fprintf(file, "%lld,%.*s,%lld,%lld,%lld,%lld,%lld\n", (long long)g->minute, (int)g->length - 1, arena + g->at,
            (long long)g->count, (long long)g->sum, (long long)g->least, (long long)g->latest,
            (long long)(g->sum / g->count));
  }
  fclose(file);
}

/* --- the client ----------------------------------------------------------------------------------------------------- */

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
  char why[256];
  if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK) die(name, why);
}

/* --- the projection: a transactional producer ----------------------------------------------------------------------- */

static rd_kafka_t *producer;
static rd_kafka_topic_t *target;
static time_t begun;

static void must(rd_kafka_error_t *error, const char *what) {
  if (error) die(what, rd_kafka_error_string(error));
}

static void open_target(const char *brokers, const char *topic) {
  char why[512];
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", brokers);
  set(conf, "transactional.id", topic);
  set(conf, "linger.ms", "50");
  set(conf, "batch.size", "1000000");
  set(conf, "queue.buffering.max.messages", "1000000");
  producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
  if (!producer) die("producer", why);
  target = rd_kafka_topic_new(producer, topic, NULL);
  must(rd_kafka_init_transactions(producer, 30000), "init transactions");
  must(rd_kafka_begin_transaction(producer), "begin");
  begun = time(NULL);
}

static void project(const char *at, const char *end, int partition) {
  Record record = scan(at, end, 1);
  if (record.product < 0 || record.product >= 20000) return;
  char value[512];
  int length = snprintf(value, sizeof value,
                        "{\"product_id\":%lld,\"size_label\":\"%.*s\",\"size_bytes\":%lld,\"timestamp\":\"%.24s\"}",
                        (long long)record.product, (int)record.length, record.label, (long long)record.size, record.time);
  while (rd_kafka_produce(target, partition, RD_KAFKA_MSG_F_COPY, value, (size_t)length, NULL, 0, NULL)) {
    if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) die("produce", rd_kafka_err2str(rd_kafka_last_error()));
    rd_kafka_poll(producer, 10);
  }
}

static void commit(int again) {
  must(rd_kafka_commit_transaction(producer, 60000), "commit");
  if (again) must(rd_kafka_begin_transaction(producer), "begin");
  begun = time(NULL);
}

/* The sum keeps the compiler from leaving the reading out. */
static uint64_t touch(const unsigned char *value, size_t length) {
  uint64_t sum = 0;
  for (size_t i = 0; i < length; i++) sum += value[i];
  return sum;
}

int main(int argc, char **argv) {
  if (argc < 5) {
    fprintf(stderr, "usage: floor raw|touch|query|project BROKERS TOPIC ROWS.csv|TOPIC [name=value ...]\n");
    return 2;
  }
  char why[512];
  int is_query = !strcmp(argv[1], "query"), is_touch = !strcmp(argv[1], "touch");
  int is_project = !strcmp(argv[1], "project");
  if (is_project) open_target(argv[2], argv[4]);
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", argv[2]);
  set(conf, "group.id", "floor");
  set(conf, "enable.auto.commit", "false");
  set(conf, "enable.partition.eof", "true");
  /* At its defaults a fast consumer stalls: bytes decide, not the number of messages. */
  set(conf, "queued.min.messages", "10000000");
  set(conf, "queued.max.messages.kbytes", "65536");
  for (int i = 5; i < argc; i++) {
    char *equals = strchr(argv[i], '=');
    if (!equals) die(argv[i], "is not name=value");
    *equals = 0;
    set(conf, argv[i], equals + 1);
  }
  rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
  if (!client) die("client", why);
  rd_kafka_poll_set_consumer(client);
  rd_kafka_topic_t *topic = rd_kafka_topic_new(client, argv[3], NULL);
  const struct rd_kafka_metadata *metadata;
  rd_kafka_resp_err_t error = rd_kafka_metadata(client, 0, topic, &metadata, 10000);
  if (error) die("metadata", rd_kafka_err2str(error));
  int partitions = metadata->topics[0].partition_cnt, open = partitions;
  rd_kafka_metadata_destroy(metadata);
  rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
  for (int p = 0; p < partitions; p++) rd_kafka_topic_partition_list_add(list, argv[3], p)->offset = 0;
  error = rd_kafka_assign(client, list);
  if (error) die("assign", rd_kafka_err2str(error));
  rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(client);
  rd_kafka_message_t *messages[BATCH];
  uint64_t records = 0, bytes = 0, sum = 0;
  while (open > 0) {
    ssize_t got = rd_kafka_consume_batch_queue(queue, 1000, messages, BATCH);
    for (ssize_t i = 0; i < got; i++) {
      rd_kafka_message_t *message = messages[i];
      if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        open--;
      } else if (message->err) {
        die("record", rd_kafka_message_errstr(message));
      } else {
        records++;
        bytes += message->len;
        if (is_query) count(message->payload, (const char *)message->payload + message->len);
        if (is_project) project(message->payload, (const char *)message->payload + message->len, message->partition);
        if (is_touch) sum += touch(message->payload, message->len);
      }
      rd_kafka_message_destroy(message);
    }
    if (is_project) rd_kafka_poll(producer, 0);
    if (is_project && time(NULL) - begun >= 10) commit(1);
  }
  if (is_project) commit(0);
  if (is_query) write_rows(argv[4]);
  printf("%llu records, %llu bytes, sum %llu\n", (unsigned long long)records, (unsigned long long)bytes,
         (unsigned long long)sum);
  fflush(stdout);
  _Exit(0); /* closing the client is no part of the work */
}

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.WindowStore;

/**
 * The tumbling minute in Kafka Streams' DSL: Streams BROKERS TOPIC RESULTS [name=value ...]
 *
 * <p>It ends when as many records were counted as the topic had at the start. Results are updates, the last one of each window and
 * label counts; a cache keeps all but one update per commit away from the topic.
 */
public final class Streams {
  private static final long MINUTE = 60_000;
  private static final JsonFactory JSON = new JsonFactory();

  /** One record, as far as the query needs it. */
  private record Event(String label, long bytes, long time) {}

  public static void main(String[] arguments) throws Exception {
    String brokers = arguments[0];
    String topic = arguments[1];
    String results = arguments[2];
    Properties settings = new Properties();
    settings.put("bootstrap.servers", brokers);
    for (int at = 3; at < arguments.length; at++) {
      String[] setting = arguments[at].split("=", 2);
      settings.put(setting[0], setting[1]);
    }
    long expected = records(brokers, topic);
    AtomicLong counted = new AtomicLong();
    CountDownLatch done = new CountDownLatch(1);
    StreamsBuilder builder = build(topic, results, () -> {
      if (counted.incrementAndGet() == expected) {
        done.countDown();
      }
    });
    KafkaStreams streams = new KafkaStreams(builder.build(settings), settings);
    streams.setUncaughtExceptionHandler(error -> {
      error.printStackTrace();
      System.exit(1);
      return null;
    });
    streams.start();
    done.await();
    // Closing flushes the cache and commits.
    streams.close();
    System.exit(0);
  }

  private static StreamsBuilder build(String topic, String results, Runnable count) {
    Serde<Event> records = Serdes.serdeFrom((name, event) -> null, (name, value) -> parse(value));
    Serde<Event> events = Serdes.serdeFrom((name, event) -> pack(event), (name, value) -> unpack(value));
    Serde<long[]> sums = Serdes.serdeFrom((name, sum) -> longs(sum), (name, value) -> longs(value));
    StreamsBuilder builder = new StreamsBuilder();
    builder
        .stream(
            topic,
            Consumed.with(Serdes.ByteArray(), records).withTimestampExtractor((record, at) -> ((Event) record.value()).time()))
        .groupBy((key, event) -> event.label(), Grouped.with("by-label", Serdes.String(), events))
        // After a repartition the order of partitions is anybody's guess: a grace that nothing can miss.
        .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofMillis(MINUTE), Duration.ofDays(1)))
        .aggregate(
            () -> new long[] {0, 0, Long.MAX_VALUE, Long.MIN_VALUE},
            (label, event, sum) -> {
              count.run();
              sum[0]++;
              sum[1] += event.bytes();
              sum[2] = Math.min(sum[2], event.bytes());
              sum[3] = Math.max(sum[3], event.time());
              return sum;
            },
            Materialized.<String, long[], WindowStore<Bytes, byte[]>>as("minutes")
                .withKeySerde(Serdes.String())
                .withValueSerde(sums)
                .withLoggingEnabled(Map.of("retention.ms", "-1")))
        .toStream()
        .map((window, sum) -> {
          String key = window.window().start() + "," + window.key();
          return KeyValue.pair(
              key, key + "," + sum[0] + "," + sum[1] + "," + sum[2] + "," + sum[3] + "," + sum[1] / sum[0]);
        })
        .to(results, Produced.with(Serdes.String(), Serdes.String()));
    return builder;
  }

  /** How many records the topic has now. */
  private static long records(String brokers, String topic) throws Exception {
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", brokers))) {
      int partitions = admin.describeTopics(java.util.List.of(topic)).allTopicNames().get().get(topic).partitions().size();
      Map<TopicPartition, OffsetSpec> ends =
          java.util.stream.IntStream.range(0, partitions)
              .boxed()
              .collect(Collectors.toMap(partition -> new TopicPartition(topic, partition), partition -> OffsetSpec.latest()));
      return admin.listOffsets(ends).all().get().values().stream().mapToLong(end -> end.offset()).sum();
    }
  }

  private static Event parse(byte[] value) {
    String label = "default";
    long bytes = 0;
    String time = null;
    try (JsonParser parser = JSON.createParser(value)) {
      parser.nextToken();
      while (parser.nextToken() == JsonToken.FIELD_NAME) {
        String name = parser.currentName();
        parser.nextToken();
        switch (name) {
          case "size_label" -> label = parser.getText();
          case "size_bytes" -> bytes = parser.getLongValue();
          case "timestamp" -> time = parser.getText();
          default -> parser.skipChildren();
        }
      }
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    return new Event(label, bytes, milliseconds(time));
  }

  /** The fixed form by hand, which is many times quicker than java.time; every other form by java.time. */
  private static long milliseconds(String text) {
    if (text.length() == 24 && text.charAt(19) == '.' && text.charAt(23) == 'Z') {
      long day = LocalDate.of(digits(text, 0, 4), digits(text, 5, 7), digits(text, 8, 10)).toEpochDay();
      long seconds = day * 86_400 + digits(text, 11, 13) * 3_600 + digits(text, 14, 16) * 60 + digits(text, 17, 19);
      return seconds * 1000 + digits(text, 20, 23);
    }
    return OffsetDateTime.parse(text).toInstant().toEpochMilli();
  }

  private static int digits(String text, int from, int to) {
    int number = 0;
    for (int at = from; at < to; at++) {
      number = number * 10 + (text.charAt(at) - '0');
    }
    return number;
  }

  private static byte[] pack(Event event) {
    byte[] label = event.label().getBytes(StandardCharsets.UTF_8);
    return ByteBuffer.allocate(16 + label.length).putLong(event.bytes()).putLong(event.time()).put(label).array();
  }

  private static Event unpack(byte[] value) {
    ByteBuffer buffer = ByteBuffer.wrap(value);
    return new Event(new String(value, 16, value.length - 16, StandardCharsets.UTF_8), buffer.getLong(), buffer.getLong());
  }

  private static byte[] longs(long[] sum) {
    ByteBuffer buffer = ByteBuffer.allocate(sum.length * 8);
    for (long number : sum) {
      buffer.putLong(number);
    }
    return buffer.array();
  }

  private static long[] longs(byte[] value) {
    if (value == null) {
      return null;
    }
    long[] sum = new long[value.length / 8];
    ByteBuffer.wrap(value).asLongBuffer().get(sum);
    return sum;
  }
}

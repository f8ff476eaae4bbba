"""The job that was replaced, in its shape: a PyFlink DataStream with Python functions from the value to the row.

`job.py BROKERS TOPIC RESULTS CONNECTOR.jar WAIT_SECONDS PARALLELISM [name=value ...]`

Of its faults one is mended, or no answer would be right: it took time as ordered, and its watermarks, made behind the source, follow
whatever partition runs ahead. So they wait WAIT_SECONDS.
"""

import json
import sys
from datetime import datetime

from pyflink.common import Configuration, Duration, Time, Types, WatermarkStrategy
from pyflink.common.serialization import Encoder, SimpleStringSchema
from pyflink.common.watermark_strategy import TimestampAssigner
from pyflink.datastream import ProcessWindowFunction, StreamExecutionEnvironment
from pyflink.datastream.connectors.file_system import FileSink
from pyflink.datastream.connectors.kafka import KafkaOffsetsInitializer, KafkaSource
from pyflink.datastream.window import TumblingEventTimeWindows


def parse(value):
    """Label, size, time in milliseconds."""
    record = json.loads(value)
    time = datetime.fromisoformat(record["timestamp"].replace("Z", "+00:00"))
    return record.get("size_label", "default"), int(record.get("size_bytes", 0)), int(round(time.timestamp() * 1000))


class EventTime(TimestampAssigner):
    """The record's own time."""

    def extract_timestamp(self, value, record_timestamp):
        return value[2]


class Summary(ProcessWindowFunction):
    """Every event of the window is kept, and added up at its end."""

    def process(self, key, context, elements):
        events = list(elements)
        sizes = [event[1] for event in events]
        latest = max(event[2] for event in events)
        total, count = sum(sizes), len(sizes)
        yield f"{context.window().start},{key},{count},{total},{min(sizes)},{latest},{total // count}"


def main(brokers, topic, results, connector, wait_seconds, parallelism, *settings):
    configuration = Configuration()
    for setting in settings:
        configuration.set_string(*setting.split("=", 1))
    configuration.set_string("pipeline.jars", "file://" + connector)
    environment = StreamExecutionEnvironment.get_execution_environment(configuration)
    environment.set_parallelism(int(parallelism))
    source = (
        KafkaSource.builder()
        .set_bootstrap_servers(brokers)
        .set_topics(topic)
        .set_starting_offsets(KafkaOffsetsInitializer.earliest())
        .set_bounded(KafkaOffsetsInitializer.latest())
        .set_value_only_deserializer(SimpleStringSchema())
        .build()
    )
    late = WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_seconds(int(wait_seconds)))
    (
        environment.from_source(source, WatermarkStrategy.no_watermarks(), "images")
        .map(parse, output_type=Types.TUPLE([Types.STRING(), Types.LONG(), Types.LONG()]))
        .assign_timestamps_and_watermarks(late.with_timestamp_assigner(EventTime()))
        .key_by(lambda event: event[0], key_type=Types.STRING())
        .window(TumblingEventTimeWindows.of(Time.minutes(1)))
        .process(Summary(), output_type=Types.STRING())
        .sink_to(FileSink.for_row_format(results, Encoder.simple_string_encoder()).build())
    )
    environment.execute("old job")


if __name__ == "__main__":
    main(*sys.argv[1:])

// What a pipeline file is written with. Loads no log, no broker, no database: those belong to the process that runs it.
export { bytes, type InferOutput, json, type SchemaIssue, type SchemaResult, type StandardSchema } from './codecs/index.ts';
export type { AlertEvent } from './engine/alertEvent.ts';
export type { Duration } from './engine/duration.ts';
export { type ErrorCode, MillraceError } from './engine/errors.ts';
export { type Pipeline, type PipelineOptions, pipeline } from './engine/pipeline.ts';
export type { Headers, Rec } from './engine/record.ts';
export type { Step } from './engine/step.ts';
export { merge, type Output, type Stream, type StreamOf, stream, type Table, table } from './engine/stream.ts';
export { stringKey } from './engine/stringKey.ts';
export { type Codec, type Keep, type Route, type Target, type Topic, type TopicOptions, topic, topicBy } from './engine/topic.ts';
export { type MqttRouteOptions, mqtt } from './ingest/mqtt.ts';
export {
  type AbsenceAlert,
  type Aggregator,
  type AlertRule,
  aggregate,
  alert,
  count,
  type DedupeOptions,
  dedupe,
  filter,
  first,
  flatMap,
  hopping,
  joinTable,
  last,
  leftJoinTable,
  type LimitAlert,
  map,
  max,
  mean,
  min,
  peek,
  rekey,
  rx,
  type Severity,
  sum,
  tumbling,
  variance,
  type Window,
  type Windowing,
  type WindowOptions,
} from './operators/index.ts';
export { alerts } from './sinks/alerts.ts';
export { type DuckdbOptions, duckdb } from './sinks/duckdb.ts';

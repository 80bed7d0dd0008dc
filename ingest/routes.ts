// From an MQTT topic to the log topics it feeds, with key and partition, worked out once per MQTT topic.
import { Buffer, isUtf8 } from 'node:buffer';
import { MillraceError, messageOf } from '../engine/errors.ts';
import { partitionOf } from '../engine/partitioner.ts';
import { internUtf8 } from '../engine/stringKey.ts';
import type { Codec, Route, Topic } from '../engine/topic.ts';
import { type KeyPart, LEVELS_MAX, parseFilter, parseKeyTemplate } from './filter.ts';
import { filterTrie, levelsOf } from './filterTrie.ts';

/** A topic that MQTT feeds, and how many partitions the log gave it. */
export interface RoutedTopic {
  readonly topic: Topic<any, any>;
  readonly partitions: number;
  /** How far a device's clock may be ahead of ours. Default: the listener's skewMs. */
  readonly skewMs?: number;
}

/** One log topic that a publish goes to. */
export interface Match {
  /** Index into the routed topics. */
  readonly index: number;
  readonly routed: RoutedTopic;
  readonly route: Route<any>;
  readonly codec: Codec<any>;
  readonly key: Buffer | null;
  readonly partition: number;
  /** Why there is no key. */
  readonly problem: string | undefined;
}

/** What is known of an MQTT topic. */
export interface RoutedPublish {
  readonly mqttTopic: string;
  readonly mqttTopicBytes: Buffer;
  readonly matches: readonly Match[];
  /** The topic holds U+FFFD, which ill-formed bytes read back as too: its bytes are looked at each time. */
  readonly holdsReplacement: boolean;
}

export interface Router {
  /**
   * What becomes of a publish to the MQTT topic in `bytes[start, end)`.
   * A text when MQTT or our limits forbid that topic: then it says why.
   */
  route(bytes: Buffer, start: number, end: number): RoutedPublish | string;
}

/** Kafka has no limit for keys; ours keeps a hostile topic from filling every index with itself. Unit: UTF-8 bytes. */
export const KEY_BYTES_MAX = 1_024;
/** Known MQTT topics kept in each of two generations: what is not met again while one fills is forgotten. */
const GENERATION_MAX = 65_536;
/** Bytes of their texts. */
const GENERATION_BYTES_MAX = 8 << 20;
/** Longer topics are worked out each time: they are rare and would fill the cache. Unit: UTF-8 bytes. */
const CACHED_TOPIC_BYTES_MAX = 512;

interface CompiledRoute {
  readonly index: number;
  readonly routed: RoutedTopic;
  readonly route: Route<any>;
  readonly key: readonly KeyPart[];
}

/**
 * Compiles the routes of these topics.
 *
 * Errors  E_CONFIG when a topic has no route
 */
export function router(topics: readonly RoutedTopic[]): Router {
  const trie = filterTrie<CompiledRoute>();
  topics.forEach((routed, index) => {
    const route = routed.topic.from;
    if (route === undefined) throw new MillraceError('E_CONFIG', `topic '${routed.topic.name}' has no route: give it from: mqtt(…)`);
    const levels = parseFilter(route.filter);
    trie.add(levels, { index, routed, route, key: parseKeyTemplate(route.key, levels, route.filter) });
  });
  const known = topicCache();

  const learn = (mqttTopic: string, bytes: Buffer): RoutedPublish => {
    const levels = levelsOf(mqttTopic);
    const matches = [...trie.match(levels)].sort((a, b) => a.index - b.index).map((compiled) => matchOf(compiled, levels));
    const publish: RoutedPublish = {
      mqttTopic,
      mqttTopicBytes: Buffer.from(bytes),
      matches,
      holdsReplacement: mqttTopic.includes('\ufffd'),
    };
    if (bytes.length <= CACHED_TOPIC_BYTES_MAX) known.add(publish);
    return publish;
  };

  return {
    route(bytes, start, end) {
      const mqttTopic = internUtf8(bytes, start, end);
      const publish = known.get(mqttTopic);
      if (publish !== undefined && (!publish.holdsReplacement || isUtf8(bytes.subarray(start, end)))) return publish;
      const topicBytes = bytes.subarray(start, end);
      return topicProblem(mqttTopic, topicBytes) ?? learn(mqttTopic, topicBytes);
    },
  };
}

/** Two maps: the young one becomes the old one when it is full, and what the old one still held is forgotten. */
function topicCache() {
  let young = new Map<string, RoutedPublish>();
  let old = new Map<string, RoutedPublish>();
  let youngBytes = 0;
  const add = (publish: RoutedPublish): void => {
    if (young.size >= GENERATION_MAX || youngBytes >= GENERATION_BYTES_MAX) {
      old = young;
      young = new Map();
      youngBytes = 0;
    }
    young.set(publish.mqttTopic, publish);
    youngBytes += publish.mqttTopicBytes.length;
  };
  return {
    add,
    get(mqttTopic: string): RoutedPublish | undefined {
      const recent = young.get(mqttTopic);
      if (recent !== undefined) return recent;
      const publish = old.get(mqttTopic);
      if (publish !== undefined) add(publish);
      return publish;
    },
  };
}

/** Why nobody may publish to this topic, or undefined. Source: MQTT 3.1.1, 1.5.3, 3.3.2 and 4.7. */
export function topicProblem(mqttTopic: string, bytes: Uint8Array): string | undefined {
  if (bytes.length === 0) return 'an empty topic';
  if (!isUtf8(bytes)) return 'a topic that is not UTF-8';
  if (mqttTopic.includes('\0')) return 'a topic with a NUL';
  if (mqttTopic.includes('+') || mqttTopic.includes('#')) return "a topic with '+' or '#', which only filters may hold";
  if (mqttTopic === '$SYS' || mqttTopic.startsWith('$SYS/')) return "a topic under '$SYS/', which is the server's own";
  let levels = 1;
  for (let i = mqttTopic.indexOf('/'); i !== -1; i = mqttTopic.indexOf('/', i + 1)) levels++;
  return levels > LEVELS_MAX ? `a topic of ${levels} levels; at most ${LEVELS_MAX}` : undefined;
}

function matchOf({ index, routed, route, key: parts }: CompiledRoute, levels: readonly string[]): Match {
  const none = (problem: string): Match => ({ index, routed, route, codec: routed.topic.codec, key: null, partition: 0, problem });
  const text = parts.map((part) => (part.kind === 'text' ? part.text : levels[part.level])).join('');
  if (text === '') return none(`the key '${route.key}' of route '${route.filter}' is empty for this topic`);
  let key: Buffer;
  try {
    key = Buffer.from(routed.topic.keyCodec.encode(text));
  } catch (error) {
    return none(`the key '${route.key}' of route '${route.filter}' does not fit the topic's key codec: ${messageOf(error)}`);
  }
  if (key.length > KEY_BYTES_MAX)
    return none(`the key '${route.key}' of route '${route.filter}' is ${key.length} bytes long; at most ${KEY_BYTES_MAX}`);
  return { index, routed, route, codec: routed.topic.codec, key, partition: partitionOf(key, routed.partitions), problem: undefined };
}

// From MQTT topics to keys and partitions; topics are data, whatever they hold.
import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { partitionOf } from '../../engine/partitioner.ts';
import { type Codec, topic, topicBy } from '../../engine/topic.ts';
import { mqtt } from '../../ingest/mqtt.ts';
import { type RoutedPublish, type RoutedTopic, router } from '../../ingest/routes.ts';

const codec: Codec<unknown> = { contentType: 'x', encode: () => Buffer.alloc(0), decode: () => undefined };

function routed(name: string, filter: string, key: string, partitions = 4): RoutedTopic {
  return { topic: topic(name, codec, { from: mqtt(filter, { key }) }), partitions };
}

function routeOf(topics: readonly RoutedTopic[]) {
  const routes = router(topics);
  return (mqttTopic: string | Buffer) => {
    const bytes = Buffer.from(mqttTopic as string);
    // Surrounded by other bytes, as in a packet.
    return routes.route(Buffer.concat([Buffer.from('<<'), bytes, Buffer.from('>>')]), 2, 2 + bytes.length);
  };
}

const summary = (publish: RoutedPublish | string) =>
  typeof publish === 'string'
    ? publish
    : publish.matches.map(({ routed: { topic: t }, key, partition, problem }) => [t.name, key?.toString() ?? problem, partition]);

describe('router', () => {
  it('captures named segments, builds the key, finds the partition, for every topic that matches', () => {
    const route = routeOf([
      routed('air', 'city/+zone/air/+device', '{zone}/{device}'),
      routed('all', 'city/#', 'all', 1),
      routed('device', '+/+/+/+d', '{d}{d}'),
      routed('exact', 'city/n/air/d', 'x'),
    ]);
    expect(summary(route('city/n/air/d'))).toEqual([
      ['air', 'n/d', partitionOf(Buffer.from('n/d'), 4)],
      ['all', 'all', 0],
      ['device', 'dd', partitionOf(Buffer.from('dd'), 4)],
      ['exact', 'x', partitionOf(Buffer.from('x'), 4)],
    ]);
    expect(summary(route('city'))).toEqual([['all', 'all', 0]]);
    expect(summary(route('elsewhere'))).toEqual([]);
  });

  it('gives the same answer, from the same object, the second time', () => {
    const route = routeOf([routed('air', '+d', '{d}')]);
    expect(route('a')).toBe(route('a'));
  });

  it.each<[string, string | Buffer, string]>([
    ['an empty topic', '', 'an empty topic'],
    ['a wildcard', 'a/+', "'+' or '#'"],
    ['a wildcard inside', 'a#', "'+' or '#'"],
    ['a NUL', 'a\0b', 'NUL'],
    ['an overlong encoding', Buffer.from([0x61, 0xc0, 0xaf]), 'not UTF-8'],
    ['a surrogate', Buffer.from([0xed, 0xa0, 0x80]), 'not UTF-8'],
    ['a lone byte', Buffer.from([0xff]), 'not UTF-8'],
    ['$SYS', '$SYS', '$SYS/'],
    ['under $SYS', '$SYS/broker', '$SYS/'],
    ['33 levels', Array(33).fill('a').join('/'), '33 levels; at most 32'],
  ])('refuses %s', (_, mqttTopic, says) => {
    expect(routeOf([routed('all', '#', 'x')])(mqttTopic)).toContain(says);
  });

  it.each([
    'a/../../etc/passwd',
    "'; DROP TABLE air; --",
    '__proto__',
    'constructor',
    'a\r\nb',
    '\u{ffff}',
    '\ufeffa',
    ' ',
    '/',
    'a//b',
    '$share/g/t',
    'é/ü',
    '\ufffd',
  ])('takes %j as data, verbatim', (mqttTopic) => {
    const publish = routeOf([routed('all', mqttTopic.startsWith('$') ? '$share1/#' : '#', 'k')])(mqttTopic) as RoutedPublish;
    expect(publish.mqttTopic).toBe(mqttTopic);
    expect(publish.mqttTopicBytes.toString()).toBe(mqttTopic);
  });

  it('is not fooled by ill-formed bytes that read back as a topic it knows', () => {
    const route = routeOf([routed('all', '#', 'x')]);
    expect(typeof route('a\ufffd')).toBe('object');
    expect(typeof route('a\ufffd')).toBe('object');
    expect(route(Buffer.from([0x61, 0xff]))).toContain('not UTF-8');
    expect(typeof route('a\ufffd')).toBe('object');
  });

  it('a key of 1 KiB is taken, one byte more is not, nor an empty one', () => {
    const route = routeOf([routed('air', '+d/x', '{d}', 1)]);
    expect(summary(route(`${'k'.repeat(1024)}/x`))).toEqual([['air', 'k'.repeat(1024), 0]]);
    expect(summary(route(`${'é'.repeat(512)}k/x`))).toEqual([['air', "the key '{d}' of route '+d/x' is 1025 bytes long; at most 1024", 0]]);
    expect(summary(route('/x'))).toEqual([['air', "the key '{d}' of route '+d/x' is empty for this topic", 0]]);
  });

  it('a key that its codec does not take becomes a problem, not a throw', () => {
    const whole: Codec<number> = {
      contentType: 'x',
      encode: (n) => {
        if (Number.isNaN(Number(n))) throw new Error('not a number');
        return Buffer.from([Number(n)]);
      },
      decode: () => 0,
    };
    const route = routeOf([{ topic: topicBy(whole, 'n', codec, { from: mqtt('n/+id', { key: '{id}' }) }), partitions: 1 }]);
    expect(summary(route('n/7'))).toEqual([['n', '\x07', 0]]);
    expect(summary(route('n/x'))[0]).toContain("the key '{id}' of route 'n/+id' does not fit the topic's key codec: not a number");
  });

  it('keys of different devices never meet when names are kept apart by /', () => {
    const route = routeOf([routed('air', '+zone/+device', '{zone}/{device}')]);
    const level = fc.string({ unit: 'grapheme', maxLength: 6 }).filter((s) => !/[/+#\0]|\p{Cs}/u.test(s) && !s.startsWith('$'));
    fc.assert(
      fc.property(level, level, level, level, (a, b, c, d) => {
        const [one, other] = [route(`${a}/${b}`) as RoutedPublish, route(`${c}/${d}`) as RoutedPublish];
        expect(one.matches[0]?.key?.equals(other.matches[0]?.key as Buffer)).toBe(a === c && b === d);
      }),
      { numRuns: 300 },
    );
  });

  it('remembers a bounded number of topics and still answers right', () => {
    const route = routeOf([routed('air', 'd/+d', '{d}', 1)]);
    for (let i = 0; i < 120_000; i++) route(`d/${i}`);
    expect(summary(route('d/0'))).toEqual([['air', '0', 0]]);
    expect(summary(route('d/119999'))).toEqual([['air', '119999', 0]]);
  });

  it('names the topic that has no route', () => {
    expect(() => router([{ topic: topic('a', codec), partitions: 1 }])).toThrow("E_CONFIG: topic 'a' has no route");
  });
});

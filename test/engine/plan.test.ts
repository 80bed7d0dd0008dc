// Plans: what is refused, how segments are cut, how grace adds up, and what people get to see.
import { describe, expect, it } from 'vitest';
import { describePlan } from '../../engine/describe.ts';
import { pipeline } from '../../engine/pipeline.ts';
import { planOf } from '../../engine/plan.ts';
import { step } from '../../engine/step.ts';
import { merge, stream, table } from '../../engine/stream.ts';
import { stringKey } from '../../engine/stringKey.ts';
import { type Codec, type Target, topic } from '../../engine/topic.ts';
import { duckdb } from '../../sinks/duckdb.ts';

const text = stringKey as Codec<any>;
const input = topic('in', text);
const output: Target<any, any> = topic('out', text);

/** A step that does nothing, with what a plan looks at. */
const plain = (
  spec: { kind?: string; id?: string; graceMs?: number; sides?: string[]; tables?: { topic: ReturnType<typeof topic> }[] } = {},
) => step<any, any, any>({ kind: 'plain', describe: '', ...spec, build: () => (source) => source });
const rekeyed = (id: string) =>
  step<any, any>({ kind: 'rekey', id, describe: '', rekey: (value) => value, build: () => (source) => source });

describe('pipeline', () => {
  it.each([
    ['Smart City', [stream(input).to(output)], {}, /kebab-case/],
    ['p', [], {}, /at least one output/],
    ['p', [stream(input) as never], {}, /output 1 is not one; end it with \.to/],
    ['p', [stream(input).to(output)], { partitons: 2 } as never, /unknown option 'partitons'; there are version, partitions/],
    ['p', [stream(input).to(output)], { partitions: 0 }, /partitions must be a whole number of 1 or more, got 0/],
    ['p', [stream(input).to(output)], { commitEveryMs: 1.5 }, /commitEveryMs must be a whole number/],
  ])('refuses %s %#', (id, outputs, options, message) => {
    expect(() => pipeline(id, outputs, options)).toThrow(message);
  });

  it('takes its defaults', () => {
    expect(pipeline('p', [stream(input).to(output)]).options).toEqual({
      version: 1,
      partitions: 1,
      skewMs: 3_600_000,
      idleAfterMs: 5_000,
      commitEveryMs: 100,
    });
  });
});

describe('planOf', () => {
  it('refuses an id that is used twice', () => {
    const twice = stream(input).pipe(plain({ id: 'same' }), plain({ id: 'same' }));
    expect(() => planOf(pipeline('p', [twice.to(output)]))).toThrow(/E_PIPELINE: pipeline 'p': the id 'same' is used twice/);
  });

  it('lets one step with an id feed two outputs', () => {
    const shared = stream(input).pipe(plain({ id: 'once' }));
    expect(planOf(pipeline('p', [shared.to(output), shared.to(topic('out-2', text) as Target<any, any>)])).nodes).toHaveLength(2);
  });

  it('refuses a malformed id', () => {
    expect(() =>
      planOf(
        pipeline('p', [
          stream(input)
            .pipe(plain({ id: 'No_Good' }))
            .to(output),
        ]),
      ),
    ).toThrow(/id 'No_Good': use kebab-case/);
  });

  it('refuses to write where it reads', () => {
    expect(() =>
      planOf(
        pipeline('p', [
          stream(input)
            .pipe(plain())
            .to(input as Target<any, any>),
        ]),
      ),
    ).toThrow(/writes to 'in', which it also reads: a cycle/);
  });

  it('refuses a topic without a codec', () => {
    const bare = topic('bare', undefined as never);
    expect(() => planOf(pipeline('p', [stream(bare).to(output)]))).toThrow(/topic 'bare' has no value codec/);
  });

  it('refuses partitions that do not divide', () => {
    const three = topic('three', text, { partitions: 3 });
    expect(() => planOf(pipeline('p', [stream(three).to(output)], { partitions: 2 }))).toThrow(
      /E_PARTITIONS: topic 'three' has 3 partitions, pipeline 'p' has 2/,
    );
  });

  it('reads a co-partitioned source with more partitions', () => {
    const four = topic('four', text, { partitions: 4 });
    expect(planOf(pipeline('p', [stream(four).to(output)], { partitions: 2 })).inputs[0]).toMatchObject({ kind: 'stream', partitions: 4 });
  });

  it('refuses one topic declared twice, and one read in two ways', () => {
    const again = topic('in', text);
    expect(() => planOf(pipeline('p', [merge<any, any>(stream(input), stream(again)).to(output)]))).toThrow(
      /E_TOPIC_CONFLICT: topic 'in' is declared twice/,
    );
    const rows = stream(input).pipe(plain({ tables: [{ topic: input }] }));
    expect(() => planOf(pipeline('p', [rows.to(output)]))).toThrow(/read both as a stream and as a table/);
  });

  it('refuses one table with two sets of options, and takes it with one', () => {
    const rows = stream(input).pipe(plain());
    const twice = (...tables: Target<any, any>[]) =>
      planOf(
        pipeline(
          'p',
          tables.map((t) => rows.to(t)),
        ),
      );
    expect(() => twice(duckdb('t'), duckdb('t', { mode: 'upsert' }))).toThrow(/E_TOPIC_CONFLICT: .*table 't' with two different/);
    expect(twice(duckdb('t'), duckdb('t')).tables).toHaveLength(1);
  });

  it('reads a topic once, however often it is named', () => {
    const plan = planOf(pipeline('p', [stream(input).pipe(plain()).to(output), stream(input).pipe(plain()).to(output)]));
    expect(plan.inputs).toHaveLength(1);
    expect(plan.segments).toHaveLength(1);
  });

  it('cuts segments at rekeys and keeps sources that never meet apart', () => {
    const apart = topic('apart', text);
    const down = stream(input).pipe(plain(), rekeyed('by-zone'), plain());
    const plan = planOf(pipeline('p', [down.to(output), stream(apart).to(topic('out-2', text) as Target<any, any>)]));
    expect(plan.segments).toHaveLength(3);
    expect(plan.inputs.map((i) => i.topicName)).toEqual(['in', 'p.v1.rekey.by-zone', 'apart']);
    const downstream = plan.inputs.find((i) => i.kind === 'rekey');
    expect(downstream?.segment).toBe(2);
    expect(plan.topics.map((t) => [t.role, t.spec.name])).toEqual([
      ['source', 'in'],
      ['rekey', 'p.v1.rekey.by-zone'],
      ['source', 'apart'],
      ['result', 'out'],
      ['result', 'out-2'],
      ['journal', 'p.v1.journal'],
      ['deadLetters', 'millrace.dlq'],
    ]);
  });

  it('gives a stream that goes straight from a rekey to a topic a segment to be read in', () => {
    const plan = planOf(pipeline('p', [stream(input).pipe(rekeyed('k')).to(output)]));
    expect(plan.segments).toHaveLength(2);
    expect(plan.nodes[plan.outputs[0]?.from as number]).toMatchObject({ segment: 1 });
  });

  it('adds grace along a path and starts again behind a rekey', () => {
    const a = stream(input).pipe(
      plain({ id: 'a', graceMs: 30 }),
      plain({ id: 'b', graceMs: 10 }),
      plain({ id: 'c' }),
      rekeyed('r'),
      plain({ id: 'd' }),
    );
    const lags = Object.fromEntries(planOf(pipeline('p', [a.to(output)])).nodes.map((n) => [n.name, n.lagMs]));
    expect(lags).toMatchObject({ a: 0, b: 31, c: 42, r: 42, d: 0 });
  });

  it('takes the largest grace where paths meet', () => {
    const slow = stream(input).pipe(plain({ id: 'slow', graceMs: 50 }));
    const quick = stream(input).pipe(plain({ id: 'quick', graceMs: 5 }));
    const met = merge(slow, quick).pipe(plain({ id: 'met' }));
    expect(planOf(pipeline('p', [met.to(output)])).nodes.find((n) => n.name === 'met')?.lagMs).toBe(51);
  });

  it('carries the version in every internal name', () => {
    const plan = planOf(pipeline('p', [stream(input).pipe(rekeyed('k')).to(output)], { version: 3 }));
    expect(plan.journalTopic).toBe('p.v3.journal');
    expect(plan.inputs[1]?.topicName).toBe('p.v3.rekey.k');
  });
});

describe('describePlan', () => {
  const sensors = table(topic('sensors', text, { keep: 'compact', seed: 'sensors.csv' }));
  const located = stream(input).pipe(plain({ tables: [{ topic: sensors.topic }] }));
  const { hot, rest } = located.branch({ hot: (v: any) => v.length > 3 });
  const plan = planOf(
    pipeline('demo', [
      hot.pipe(rekeyed('by-zone'), plain({ id: 'count-it', sides: ['late'] })).to(output),
      rest.to(topic('cold', text) as Target<any, any>),
    ]),
  );

  it('prints text', () => {
    expect(describePlan(plan)).toMatchInlineSnapshot(`
      "pipeline demo v1 · 1 partition · commit every 100ms

      segment 1
        source in
          plain ⋈ sensors
            branch
              way 'hot'
                rekey by-zone → demo.v1.rekey.by-zone
              way 'rest'
                → topic cold
        table sensors ← sensors.csv

      segment 2
        from demo.v1.rekey.by-zone
          plain count-it
            → topic out
      "
    `);
  });

  it('draws Mermaid', () => {
    expect(describePlan(plan, 'mermaid')).toMatchInlineSnapshot(`
      "flowchart LR
        subgraph s0["segment 1"]
          n0[("source in")]
          n1["plain ⋈ sensors"]
          n2["branch"]
          n3["way 'hot'"]
          n4["rekey by-zone → demo.v1.rekey.by-zone"]
          n6["way 'rest'"]
          t2[("table sensors")]
        end
        subgraph s1["segment 2"]
          n5["plain count-it"]
        end
        n0 --> n1
        n1 --> n2
        n2 --> n3
        n3 --> n4
        n4 --> n5
        n2 --> n6
        t2 -.-> n1
        n5 --> o0>"topic out"]
        n6 --> o1>"topic cold"]
      "
    `);
  });

  it('gives JSON that parses', () => {
    expect(JSON.parse(describePlan(plan, 'json'))).toMatchObject({
      id: 'demo',
      segments: [{}, {}],
      outputs: [{ topic: 'out' }, { topic: 'cold' }],
    });
  });
});

// aggregate against Kafka Streams: vectors observed on Kafka's TopologyTestDriver. What we do differently on purpose is
// marked and stands in docs/semantics.md.
import { describe, expect, it } from 'vitest';
import { aggregate, count, filter, hopping, pipeline, type Stream, stream, sum, topic, tumbling, type Windowing } from '../../index.ts';
import { firstStartMs } from '../../operators/windowing.ts';
import { drive } from '../../testing/index.ts';
import { concat } from './concat.ts';
import { anything, input } from './series.ts';

type Line = readonly [record: string, expected: readonly string[]];

/** `k:A@10`; the key and the value may be `null`. */
function recordOf(text: string): { key: string | null; value: string | null; atMs: number } {
  const [, key = '', value = '', at = ''] = /^(.*?):(.*)@(\d+)$/.exec(text) ?? [];
  return { key: key === 'null' ? null : key, value: value === 'null' ? null : value, atMs: Number(at) };
}

/** Feeds the records and says after each what came out: `k[0,10)=A@0`, late records as `✗`, dead letters as their code. */
// biome-ignore lint/suspicious/noExplicitAny: results of several shapes are shown alike
function runVector(build: (from: Stream<string, any>) => Stream<any, any, any>, records: readonly string[]): string[][] {
  const out = topic('out', anything);
  const late = topic('late', anything);
  const built = build(stream(input));
  const driver = drive(pipeline('v', [built.to(out), built.side('late').to(late)]));
  return records.map((text) => {
    const { key, value, atMs } = recordOf(text);
    driver.send(input, key, value, atMs);
    return [
      ...driver
        .read(out)
        .map(
          ({ key: k, value: { startMs, endMs, ...rest }, eventTimeMs }) =>
            `${k}[${startMs},${endMs})=${Object.values(rest).join(',')}@${eventTimeMs}`,
        ),
      ...driver.read(late).map(() => '✗'),
      ...driver.deadLetters().map(({ code }) => code),
    ];
  });
}

function expectVector(windows: Windowing, lines: readonly Line[]): void {
  const found = runVector(
    (s) => s.pipe(aggregate('w', windows, { v: concat() })),
    lines.map(([record]) => record),
  );
  expect(lines.map(([record], i) => [record, found[i]])).toEqual(lines);
}

const updates = (graceMs = 0) => ({ grace: { ms: graceMs }, emit: 'updates' }) as const;
const final = (graceMs = 0) => ({ grace: { ms: graceMs } });

describe('windows of a record', () => {
  it.each([
    [1_700_000_000_123, 60_000, 60_000, [1_699_999_980_000]],
    [1_700_000_000_123, 604_800_000, 604_800_000, [1_699_488_000_000]],
    [1_700_000_000_123, 300_000, 120_000, [1_699_999_800_000, 1_699_999_920_000]],
    [0, 10, 10, [0]],
    [0, 10, 4, [0]],
    [9, 10, 4, [0, 4, 8]],
    [3, 10, 3, [0, 3]],
    [20, 10, 3, [12, 15, 18]],
  ])('%d in size %d every %d', (timeMs, sizeMs, advanceMs, starts) => {
    const found = [];
    for (let startMs = firstStartMs({ sizeMs, advanceMs }, timeMs); startMs <= timeMs; startMs += advanceMs) found.push(startMs);
    expect(found).toEqual(starts);
  });
});

describe('every update', () => {
  it('T1 tumbling 10, grace 5', () => {
    expectVector(tumbling({ ms: 10 }, updates(5)), [
      ['k:A@0', ['k[0,10)=A@0']],
      ['k:B@9', ['k[0,10)=AB@9']],
      ['k:C@10', ['k[10,20)=C@10']],
      ['k:D@14', ['k[10,20)=CD@14']],
      ['k:E@3', ['k[0,10)=ABE@9']],
      ['j:x@15', ['j[10,20)=x@15']],
      ['k:F@9', ['✗']],
      ['k:G@10', ['k[10,20)=CDG@14']],
      // Difference: Kafka Streams aggregates a null value (CDGnull@16); here a stream has none.
      ['k:null@16', ['E_NULL_VALUE']],
      ['null:Z@99', ['E_NULL_KEY']],
      ['k:H@17', ['k[10,20)=CDGH@17']],
    ]);
  });

  it('T2 hopping 10 every 4, no grace', () => {
    expectVector(hopping({ ms: 10 }, { ms: 4 }, updates()), [
      ['k:A@0', ['k[0,10)=A@0']],
      ['k:B@2', ['k[0,10)=AB@2']],
      ['k:C@9', ['k[0,10)=ABC@9', 'k[4,14)=C@9', 'k[8,18)=C@9']],
      ['k:D@13', ['k[4,14)=CD@13', 'k[8,18)=CD@13', 'k[12,22)=D@13']],
      ['k:E@5', ['k[4,14)=CDE@13', '✗']],
    ]);
  });

  it('T3 hopping 10 every 3, grace 2', () => {
    expectVector(hopping({ ms: 10 }, { ms: 3 }, updates(2)), [
      ['k:A@20', ['k[12,22)=A@20', 'k[15,25)=A@20', 'k[18,28)=A@20']],
      ['k:B@11', ['k[9,19)=B@11', '✗']],
      ['k:C@8', ['✗']],
    ]);
  });

  it('T4 difference: null values are not counted', () => {
    const found = runVector((s) => s.pipe(aggregate('w', tumbling({ ms: 10 }, updates()), { n: count() })), ['k:A@0', 'k:null@1', 'k:B@2']);
    expect(found).toEqual([['k[0,10)=1@0'], ['E_NULL_VALUE'], ['k[0,10)=2@2']]);
  });

  it('2.1 difference: time flows past a filter, so what lies behind it is late (Kafka Streams: [0,10)=2@6)', () => {
    const found = runVector(
      (s) =>
        s.pipe(
          filter((v) => v !== 'skip'),
          aggregate('w', tumbling({ ms: 10 }, updates()), { n: count() }),
        ),
      ['k:A@5', 'k:skip@1000', 'k:B@6', 'k:C@1001', 'k:D@7'],
    );
    expect(found).toEqual([['k[0,10)=1@5'], [], ['✗'], ['k[1000,1010)=1@1001'], ['✗']]);
  });
});

// Difference throughout: a final result has the event time end − 1 ms; Kafka Streams gives it that of its last update.
describe('final results', () => {
  it('P1 tumbling 10, grace 5', () => {
    expectVector(tumbling({ ms: 10 }, final(5)), [
      ['k:A@0', []],
      ['k:B@9', []],
      ['k:C@4', []],
      ['k:D@14', []],
      ['j:y@2', []],
      ['j:x@15', ['j[0,10)=y@9', 'k[0,10)=ABC@9']],
      ['k:E@25', ['j[10,20)=x@19', 'k[10,20)=D@19']],
      ['k:F@100', ['k[20,30)=E@29']],
    ]);
  });

  it('P2 tumbling 10, grace 10', () => {
    expectVector(tumbling({ ms: 10 }, final(10)), [
      ['k:A@5', []],
      ['k:B@15', []],
      ['k:C@7', []],
      ['k:D@19', []],
      ['k:E@20', ['k[0,10)=AC@9']],
      ['k:F@9', ['✗']],
      ['k:G@35', ['k[10,20)=BD@19']],
    ]);
  });

  it('C1, and C2 without its hole: every closed window is emitted, once', () => {
    expectVector(tumbling({ ms: 10 }, final(5)), [
      ['k:A@0', []],
      ['j:x@15', ['k[0,10)=A@9']],
      ['k:E@25', ['j[10,20)=x@19']],
      // Difference: with default retention Kafka Streams never emits k[20,30).
      ['k:F@100', ['k[20,30)=E@29']],
      ['k:L@90', []],
      ['k:M@104', []],
      ['k:N@115', ['k[90,100)=L@99', 'k[100,110)=FM@109']],
    ]);
  });

  it('C2 difference, hopping 10 every 5, grace 5: Kafka Streams leaves out [5,15) and [10,20)', () => {
    const records = ['A:1@0', 'A:2@5', 'A:3@10', 'B:4@6', 'B:5@11', 'B:6@15', 'C:7@25'];
    const found = runVector((s) => s.pipe(aggregate('w', hopping({ ms: 10 }, { ms: 5 }, final(5)), { v: concat() })), records);
    expect(found.flat()).toEqual(['A[0,10)=12@9', 'B[0,10)=4@9', 'A[5,15)=23@14', 'B[5,15)=45@14', 'A[10,20)=3@19', 'B[10,20)=56@19']);
  });

  it('P4: a final result is never emitted twice', () => {
    const found = runVector(
      (s) => s.pipe(aggregate('w', tumbling({ ms: 10 }), { v: concat() })),
      ['k:A@20', 'k:B@20', 'k:C@30', 'k:D@30', 'k:E@25', 'k:F@40'],
    );
    expect(found.flat()).toEqual(['k[20,30)=AB@29', '✗', 'k[30,40)=CD@39']);
  });

  it('2.15 the end-to-end vector of an IoT job: count and sum, tumbling 10, grace 5', () => {
    const found = runVector(
      (s) => s.pipe(aggregate('w', tumbling({ ms: 10 }, final(5)), { n: count(), sum: sum((v) => Number(v)) })),
      ['d1:5@0', 'd2:7@1', 'd1:6@9', 'd1:1@12', 'd2:9@8', 'd1:4@14', 'd2:2@15', 'd1:3@9', 'd2:1@25', 'd2:1@24'],
    );
    expect(found).toEqual([
      [],
      [],
      [],
      [],
      [],
      [],
      ['d1[0,10)=2,11@9', 'd2[0,10)=2,16@9'],
      ['✗'],
      ['d1[10,20)=2,5@19', 'd2[10,20)=1,2@19'],
      [],
    ]);
  });
});

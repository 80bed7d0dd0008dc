// joinTable and leftJoinTable: Kafka Streams' KStream-KTable join, vector K1, and the cases every operator owes.
import { describe, expect, it } from 'vitest';
import { joinTable, leftJoinTable, pipeline, stream, topic } from '../../index.ts';
import { drive } from '../../testing/index.ts';
import { anything, type Build, codes, expectCutAnywhere, input, rows, rowsTopic, run, series } from './series.ts';

const inner: Build = (s) => s.pipe(joinTable(rows, (v, row) => `${v}+${row}`));
const left: Build = (s) => s.pipe(leftJoinTable(rows, (v, row) => `${v}+${row ?? null}`));

/** Sends `s` to the stream and `t` to the table, in the order written, and says what each brought out. */
function vector(build: Build, steps: readonly (readonly ['s' | 't', string | null, string | null, number])[]): readonly string[][] {
  const out = topic('out', anything);
  const driver = drive(pipeline('k', [build(stream(input)).to(out)]));
  return steps.map(([side, key, value, atMs]) => {
    driver.send(side === 's' ? input : rowsTopic, key, value, atMs);
    return driver.read(out).map((r) => `${r.key === null ? '' : `${r.key}=`}${r.value}@${r.eventTimeMs}`);
  });
}

describe('K1', () => {
  it('inner: the row is the latest by offset, whatever its time; table updates trigger nothing', () => {
    expect(
      vector(inner, [
        ['s', 'k', 'A', 10],
        ['t', 'k', 'x', 50],
        ['s', 'k', 'B', 20],
        ['t', 'k', 'y', 40],
        ['s', 'k', 'C', 5],
        ['t', 'k', null, 60],
        ['s', 'k', 'D', 70],
        ['s', null, 'E', 71],
        ['s', 'k', null, 72],
      ]),
    ).toEqual([[], [], ['k=B+x@20'], [], ['k=C+y@5'], [], [], [], []]);
  });

  it('left: no row and no key join undefined, no value is refused', () => {
    expect(
      vector(left, [
        ['s', 'k', 'A', 10],
        ['t', 'k', 'x', 11],
        ['s', 'k', 'B', 12],
        ['s', null, 'E', 13],
        ['s', 'k', null, 14],
      ]),
    ).toEqual([['k=A+null@10'], [], ['k=B+x@12'], ['E+null@13'], []]);
  });
});

describe.each([
  ['joinTable', inner],
  ['leftJoinTable', left],
] as const)('%s', (name, build) => {
  const table = series('d1 0s=100', 'd2 0s=200');

  it('empty, one, many, two keys, duplicate, out of order', () => {
    expect(run(build, []).out).toEqual([]);
    expect(run(build, series('d1 1s=1'), { table }).out).toEqual(['d1 1s="1+100"']);
    expect(run(build, series('d1 1s=1 3s=1 3s=1 2s=4', 'd2 2s=2'), { table }).out).toEqual([
      'd1 1s="1+100"',
      'd2 2s="2+200"',
      'd1 3s="1+100"',
      'd1 3s="1+100"',
      'd1 2s="4+100"',
    ]);
  });

  it('a callback that throws costs its record, a promise is refused, nothing is refused', () => {
    const give =
      (join: (v: unknown) => unknown): Build =>
      (s) =>
        s.pipe(name === 'joinTable' ? joinTable(rows, join) : leftJoinTable(rows, join));
    const answers = (v: unknown) => {
      if (v === 1) throw new Error('no');
      return v === 2 ? Promise.resolve(1) : v === 3 ? undefined : v;
    };
    const outcome = run(give(answers), series('d1 1s=1 2s=2 3s=3 4s=4'), { table });
    expect(outcome.out).toEqual(['d1 4s=4']);
    expect(codes(outcome)).toEqual(['E_CALLBACK', 'E_ASYNC_STEP', 'E_RESULT']);
  });

  it('gives the same when cut anywhere', () => {
    expectCutAnywhere(build, series('d1 1s=1 3s=3', 'd2 2s=2 4s=4', 'd3 5s=5'), { table });
  });
});

it('joinTable: a record without a key is dead-lettered, one without a row is counted', () => {
  const outcome = run(inner, series('- 1s=1', 'd3 2s=2'));
  expect(codes(outcome)).toEqual(['E_NULL_KEY']);
  expect(outcome.counters['step/joinTable#1/unmatched']).toBe(1);
});

// rekey: the new key, the shuffle, and what a key callback may not return.
import { describe, expect, it } from 'vitest';
import { aggregate, count, pipeline, rekey, stream, topic, tumbling } from '../../index.ts';
import { drive } from '../../testing/index.ts';
import { anything, type Build, codes, expectCutAnywhere, run, series } from './series.ts';

const byValue: Build = (s) => s.pipe(rekey('by-value', (v) => `v${v}`));

describe('rekey', () => {
  it('empty, one, many, duplicate, out of order', () => {
    expect(run(byValue, []).out).toEqual([]);
    expect(run(byValue, series('d1 0s=1')).out).toEqual(['v1 0s=1']);
    expect(run(byValue, series('d1 0s=1 5s=2 5s=2 3s=1', 'd2 1s=1')).out).toEqual(['v1 0s=1', 'v1 1s=1', 'v2 5s=2', 'v2 5s=2', 'v1 3s=1']);
  });

  it('gives a record without a key one', () => {
    expect(run(byValue, series('- 0s=1')).out).toEqual(['v1 0s=1']);
  });

  it('refuses no key, a promise, a throw', () => {
    const build: Build = (s) =>
      s.pipe(
        rekey('k', (v) => {
          if (v === 4) throw new Error('four');
          return v === 1 ? null : v === 2 ? undefined : v === 3 ? Promise.resolve('x') : 'ok';
        }),
      );
    const outcome = run(build, series('d1 0s=1 1s=2 2s=3 3s=4 4s=5'));
    expect(codes(outcome)).toEqual(['E_NULL_KEY', 'E_NULL_KEY', 'E_ASYNC_STEP', 'E_CALLBACK']);
    expect(outcome.out).toEqual(['ok 4s=5']);
  });

  it('asks for a kebab-case id', () => {
    for (const id of ['', 'By', 'a b', 'a_b', '-a', 'x'.repeat(61), 7 as never])
      expect(() => rekey(id, () => 1)).toThrow(/E_PIPELINE: rekey: the id/);
  });

  it('with two partitions each key is in the partition it belongs to, and windows below close once', () => {
    const source = topic('in', anything);
    const out = topic('out', anything);
    const counted = stream(source).pipe(
      rekey('by-value', (v) => `v${v}`),
      aggregate('n', tumbling({ seconds: 10 }), { n: count() }),
    );
    const driver = drive(pipeline('two', [counted.to(out)], { partitions: 2 }));
    for (const { key, value, atMs } of series('d1 0s=1 1s=2 9s=1', 'd2 2s=1 3s=2 25s=9', 'd3 4s=3 26s=9'))
      driver.send(source, key, value, atMs);
    driver.end();
    const found = driver.read(out).map((r) => `${r.key} ${r.value.startMs / 1000}=${r.value.n}`);
    expect(found.toSorted()).toEqual(['v1 0=3', 'v2 0=2', 'v3 0=1', 'v9 20=2']);
    expect(driver.deadLetters()).toEqual([]);
  });

  it('gives the same when cut anywhere', () => {
    expectCutAnywhere(
      (s) =>
        s.pipe(
          rekey('by-value', (v) => `v${v}`),
          aggregate('n', tumbling({ seconds: 10 }), { n: count() }),
        ),
      series('d1 0s=1 5s=2 12s=1 31s=1', 'd2 1s=1 13s=2'),
    );
  });
});

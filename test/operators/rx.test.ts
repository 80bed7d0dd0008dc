// rx: RxJS over one record, torn down before the next; an error or a delay costs that record alone.
import { concat, delay, distinct, finalize, from, map as rxMap, mergeMap, NEVER, Observable, of, scan, share, throwError } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { rx } from '../../index.ts';
import { codes, run, series } from './series.ts';

describe('rx', () => {
  it('emits what the chain emits, none included', () => {
    const outcome = run(
      (s) => s.pipe(rx((values) => values.pipe(mergeMap((v) => Array.from({ length: v }, () => v))))),
      series('d1 0s=0 1s=1 2s=2'),
    );
    expect(outcome.out).toEqual(['d1 1s=1', 'd1 2s=2', 'd1 2s=2']);
  });

  it('keeps no state from record to record', () => {
    const operators = [scan((n: number) => n + 1, 0), distinct(), share()];
    for (const operator of operators) {
      const outcome = run((s) => s.pipe(rx((values) => values.pipe(operator))), series('d1 0s=1 1s=1 2s=1'));
      expect(outcome.out).toEqual(['d1 0s=1', 'd1 1s=1', 'd1 2s=1']);
    }
  });

  it('is torn down before the next record', () => {
    const events: string[] = [];
    run(
      (s) =>
        s.pipe(
          rx((values) =>
            values.pipe(
              rxMap((v) => {
                events.push(`next ${v}`);
                return v;
              }),
              finalize(() => events.push('end')),
            ),
          ),
        ),
      series('d1 0s=1 1s=2'),
    );
    expect(events).toEqual(['next 1', 'end', 'next 2', 'end']);
  });

  it('an error ends this record only, and nothing of it is emitted', () => {
    const outcome = run(
      (s) =>
        s.pipe(
          rx((values) =>
            values.pipe(
              mergeMap((v) =>
                v === 2
                  ? concat(
                      of(2),
                      throwError(() => new Error('twos')),
                    )
                  : of(v),
              ),
            ),
          ),
        ),
      series('d1 0s=1 1s=2 2s=3'),
    );
    expect(outcome.out).toEqual(['d1 0s=1', 'd1 2s=3']);
    expect(outcome.dead).toMatchObject([{ code: 'E_CALLBACK', reason: 'twos', step: 'rx#1' }]);
  });

  it.each([
    ['delay', (v: Observable<number>) => v.pipe(delay(1))],
    ['a promise', (v: Observable<number>) => v.pipe(mergeMap((x) => from(Promise.resolve(x))))],
    ['a promise that fails', (v: Observable<number>) => v.pipe(mergeMap(() => from(Promise.reject<number>(new Error('later')))))],
    ['never', (v: Observable<number>) => concat(v, NEVER)],
  ])('%s is E_ASYNC_STEP, and nothing of it is emitted', (_name, chain) => {
    const outcome = run((s) => s.pipe(rx(chain)), series('d1 0s=1 1s=2'));
    expect(outcome.out).toEqual([]);
    expect(codes(outcome)).toEqual(['E_ASYNC_STEP', 'E_ASYNC_STEP']);
  });

  it('a value that is a promise, or none, is refused', () => {
    const outcome = run(
      (s) => s.pipe(rx((values) => values.pipe(rxMap((v) => (v === 1 ? Promise.resolve(1) : undefined))))),
      series('d1 0s=1 1s=2'),
    );
    expect(codes(outcome)).toEqual(['E_ASYNC_STEP', 'E_RESULT']);
  });

  it('a callback that returns no Observable says so, one that throws is E_CALLBACK', () => {
    expect(run((s) => s.pipe(rx(() => 1 as never)), series('d1 0s=1')).dead).toMatchObject([
      { code: 'E_RESULT', reason: expect.stringContaining('no Observable') },
    ]);
    const throws = () => {
      throw new Error('at once');
    };
    expect(run((s) => s.pipe(rx(throws)), series('d1 0s=1')).dead).toMatchObject([{ code: 'E_CALLBACK', reason: 'at once' }]);
  });
});

// rx: any synchronous RxJS chain, over the values of one record at a time.
import { Observable } from 'rxjs';
import { MillraceError } from '../engine/errors.ts';
import { type Rec, record } from '../engine/record.ts';
import { perRecord, type Step, step } from '../engine/step.ts';
import { valueOf } from './callbackResult.ts';
import { definedCallback } from './definedId.ts';

/**
 * Emits what the RxJS chain emits for each record's value: the chain is made, subscribed, fed one value, completed and
 * torn down before the next record is looked at, so no state can hide in it (`scan`, `distinct` and `share` start anew).
 *
 * Shape   Rec<K, V> → Rec<K, R>, 0 to n        Unit    as the chain says; never null or undefined
 * Time    event time stays                     Order   as the chain emits
 * State   none; key and headers stay
 * Errors  an error of the chain ends this record only: E_CALLBACK · not completed on return (delay, timer, a promise):
 *         E_ASYNC_STEP · E_RESULT → dead letter, and then nothing of it is emitted
 * Cost    about 1 µs a record for making and subscribing the chain
 * Source  RxJS 7
 * @example rx((values) => values.pipe(rxjs.mergeMap((v) => [v, v * 2]), rxjs.filter((v) => v > 1)))
 *   in   d1  0s=1  1s=2
 *   out  d1  0s=2  1s=2  1s=4
 */
export function rx<K, V, R>(chain: (values: Observable<V>) => Observable<R>): Step<Rec<K, V>, Rec<K, R>> {
  definedCallback('rx', chain);
  return step({
    kind: 'rx',
    describe: 'rx',
    build: (context) =>
      perRecord(context, (rec, out) => {
        for (const value of runToEnd(chain, rec.value as V)) out.next(record(rec.key, value, rec.eventTimeMs, rec.headers));
      }),
  });
}

/** All the chain says about one value. Collected first, so that steps below never run inside the user's chain. */
function runToEnd<V, R>(chain: (values: Observable<V>) => Observable<R>, value: V): readonly R[] {
  const found: R[] = [];
  let completed = false;
  let failed = false;
  let failure: unknown;
  const made = chain(
    new Observable<V>((values) => {
      values.next(value);
      values.complete();
    }),
  );
  if (typeof made?.subscribe !== 'function')
    throw new MillraceError('E_RESULT', 'rx: the callback returned no Observable; return values.pipe(…)');
  const subscription = made.subscribe({
    next: (result) => void found.push(result),
    error: (error) => {
      failed = true;
      failure = error;
    },
    complete: () => {
      completed = true;
    },
  });
  subscription.unsubscribe();
  if (failed) throw failure;
  if (!completed)
    throw new MillraceError(
      'E_ASYNC_STEP',
      'rx: the chain had not completed when it returned; leave out operators that wait, such as delay, timer, or from(promise)',
    );
  for (const result of found) valueOf(result, 'rx');
  return found;
}

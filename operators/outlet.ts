// Results that come of time instead of a record: a window that closes, a timer that fires.
import { Observable, type OperatorFunction, type Subscriber } from 'rxjs';
import { type AnyRec, perRecord, type StepContext } from '../engine/step.ts';

/** Where a step emits when no record is at hand. */
export interface Outlet {
  /** Emits a record; what goes wrong below is dealt with below. */
  emit(record: AnyRec): void;
  /** Runs what a due call does; a throw goes to the task, which undoes and dead-letters that one call. */
  due(call: () => void): void;
  /** The operator: one call per record, and from its subscription on `emit` leads to the same place. */
  operator(next: (record: AnyRec) => void): OperatorFunction<AnyRec, AnyRec>;
}

/** Makes the outlet of one step in one task. */
export function outletOf(context: StepContext): Outlet {
  let out: Subscriber<AnyRec> | undefined;
  return {
    emit: (record) => out?.next(record),
    due(call) {
      try {
        call();
      } catch (error) {
        context.fail(error);
      }
    },
    operator: (next) => (source) =>
      new Observable((subscriber) => {
        out = subscriber;
        return perRecord(context, next)(source).subscribe(subscriber);
      }),
  };
}

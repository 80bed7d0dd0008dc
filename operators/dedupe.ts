// dedupe: drops what was said before.
import { type Duration, durationMs, formatMs } from '../engine/duration.ts';
import { MillraceError } from '../engine/errors.ts';
import type { Rec } from '../engine/record.ts';
import { perRecord, type Step, step } from '../engine/step.ts';
import { atOnce } from './callbackResult.ts';
import { definedCallback, definedId } from './definedId.ts';
import { keyOf } from './keyOf.ts';

/** How long ids are remembered. */
export interface DedupeOptions {
  /** Unit: stream time since the record that passed. Default: 1 day. */
  readonly remember?: Duration;
}

/** Devices that were cut off for a night send again what they are not sure of. */
const REMEMBER: Duration = { days: 1 };

/**
 * Emits each record whose (key, id) has not passed within `remember`; the first one passes, the rest is dropped and counted.
 *
 * An id is remembered from the moment its record passes until stream time has moved on by `remember`; duplicates do not
 * prolong it. What counts is the step's stream time when a record arrives, not the record's own event time: a device that
 * was offline for a week and sends everything twice is still heard once, however old its readings are.
 *
 * Shape   Rec<K, V> → Rec<K, V>          Unit    remember: any duration
 * Time    event time stays               Order   as input
 * State   one timer per remembered (key, id); it ends when the id is forgotten
 * Errors  E_NULL_KEY · E_CALLBACK · E_ASYNC_STEP · E_RESULT (id neither text nor finite number) → dead letter; counter `duplicates`
 * Cost    one look-up a record, one timer a passed record
 * Source  none in Kafka Streams (its distinct() is still a proposal, KIP-655)
 * @example dedupe('once', (v) => v, { remember: { seconds: 10 } })
 *   in   d1  0s=7  1s=7  2s=8  9.999s=7  10s=7
 *   out  d1  0s=7  2s=8  10s=7
 */
export function dedupe<K, V>(
  id: string,
  by: (value: V, record: Rec<K, V>) => string | number,
  options: DedupeOptions = {},
): Step<Rec<K, V>, Rec<K, V>> {
  definedId('dedupe', id);
  definedCallback('dedupe', by);
  for (const name of Object.keys(options))
    if (name !== 'remember') throw new MillraceError('E_PIPELINE', `dedupe '${id}': unknown option '${name}'; there is remember`);
  const rememberMs = durationMs(options.remember ?? REMEMBER, `dedupe '${id}': remember`);
  if (rememberMs === 0) throw new MillraceError('E_PIPELINE', `dedupe '${id}': remember must be longer than nothing`);
  return step({
    kind: 'dedupe',
    id,
    describe: `dedupe, remember ${formatMs(rememberMs)}`,
    shape: `dedupe ${rememberMs}`,
    build: (context) => {
      const remembered = context.timers<unknown>({ name: 'remembered', onTimer: () => {} });
      const { clock } = context;
      return perRecord(context, (record, out) => {
        const key = keyOf(record, 'dedupe');
        const name = nameOf(atOnce(by(record.value, record), 'dedupe'), id);
        const nowMs = Math.max(clock.streamTimeMs, record.eventTimeMs);
        const untilMs = remembered.get(key, name);
        if (untilMs !== undefined && nowMs < untilMs) {
          context.count('duplicates');
          return;
        }
        remembered.set(key, name, nowMs + rememberMs);
        out.next(record);
      });
    },
  });
}

/** Text and numbers apart, so that '7' is not 7. */
function nameOf(by: unknown, id: string): string {
  if (typeof by === 'string') return `s${by}`;
  if (typeof by === 'number' && Number.isFinite(by)) return `n${by}`;
  throw new MillraceError(
    'E_RESULT',
    `dedupe '${id}': the callback returned ${typeof by === 'number' ? by : by === null ? 'null' : `a value of type ${typeof by}`}; return a text or a finite number`,
  );
}

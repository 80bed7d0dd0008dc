// alert: watches a reading, or for silence, and says when that changes.
import type { AlertEvent } from '../engine/alertEvent.ts';
import { type Duration, durationMs, formatMs } from '../engine/duration.ts';
import { assert, MillraceError } from '../engine/errors.ts';
import { type Headers, type Rec, record } from '../engine/record.ts';
import { type Step, type StepContext, step } from '../engine/step.ts';
import { alertId } from './alertId.ts';
import { type AlertState, elapse, isOutOfOrder, type Moved, type Observation, observe, type Rule, UNSEEN } from './alertMachine.ts';
import { atOnce } from './callbackResult.ts';
import { definedCallback, definedId } from './definedId.ts';
import { keyOf } from './keyOf.ts';
import { outletOf } from './outlet.ts';

/** How urgent an alarm is. */
export type Severity = 'low' | 'medium' | 'high';

/** An alarm on a limit: give `above` or `below`. */
export interface LimitAlert<K, V> {
  /** The reading to watch. undefined, NaN and infinities are missing data: never normal, they change nothing. */
  readonly when: (value: V, record: Rec<K, V>) => number | null | undefined;
  /** Reached by a reading of this or more. */
  readonly above?: number;
  /** With `above`: a firing alarm ends below this. Default: `above`. */
  readonly clearBelow?: number;
  /** Reached by a reading of this or less. */
  readonly below?: number;
  /** With `below`: a firing alarm ends above this. Default: `below`. */
  readonly clearAbove?: number;
  /** How long every reading must have reached the limit, in event time. Default: fires at once. */
  readonly for?: Duration;
  readonly absentFor?: never;
  readonly severity?: Severity;
}

/** An alarm on silence. */
export interface AbsenceAlert<K, V> {
  /** Without it any record is a sign of life; with it only one that has a reading is. */
  readonly when?: (value: V, record: Rec<K, V>) => number | null | undefined;
  /** How long a key may be silent, in stream time since its last record arrived. */
  readonly absentFor: Duration;
  readonly above?: never;
  readonly below?: never;
  readonly clearBelow?: never;
  readonly clearAbove?: never;
  readonly for?: never;
  readonly severity?: Severity;
}

/** What `alert` watches: a limit or silence, not both; two alarms are two steps. */
export type AlertRule<K, V> = LimitAlert<K, V> | AbsenceAlert<K, V>;

/**
 * Emits an event when a key's alarm changes state: `pending` (only with `for`), `firing`, `resolved`.
 *
 * Limit     reached at ≥ above (≤ below). With `for`, every reading must reach it for that long: one that does not ends the
 *           hold and nothing more is said; a hold without a new reading ends by itself. Firing ends at < clearBelow (> clearAbove)
 * Silence   fires `absentFor` after the last record of a key, resolves with the next one; a key never heard of is not missed
 * Missing   a reading of undefined, null, NaN or an infinity neither completes nor ends a hold, and clears nothing; counter
 *           `missing`. A hold whose newest reading is missing waits for the next valid one
 * Shape     Rec<K, V> → Rec<K, AlertEvent>, 0 to 2 a record        Unit    limits: the reading's; sinceMs, atMs: epoch ms
 * Time      event time: a hold ends at its beginning + for, before the reading that would clear it. A key whose data runs
 *           behind stream time gets that much longer, so that a late spike is not taken for a long one. A limit's reading
 *           older than the newest of its key is not looked at: counter `out_of_order`
 * State     one small row a key, one timer a pending hold or key that may fall silent
 * Order     as input; timers by time, then key
 * Errors    E_NULL_KEY · E_CALLBACK · E_ASYNC_STEP · E_RESULT (the reading is no number) → dead letter       Cost    O(1) a record
 * Source    ISA-18.2 / IEC 62682 dead-band and on-delay; Prometheus `for`; OPC UA Part 9
 * @example alert('hot', { when: (v) => v, above: 55, clearBelow: 45 })
 *   in   d1  0s=54  1s=55  2s=60  3s=45  4s=44
 *   out  d1  1s=firing  4s=resolved
 */
export function alert<K, V>(id: string, rule: AlertRule<K, V>): Step<Rec<K, V>, Rec<K, AlertEvent>> {
  definedId('alert', id);
  const machine = ruleOf(id, rule);
  const { severity, when } = rule;
  return step({
    kind: 'alert',
    id,
    describe: describeRule(machine, severity),
    shape: `alert ${JSON.stringify(machine)}`,
    build: (context) =>
      runAlert(context, id, machine, when as ((value: unknown, record: Rec<unknown, unknown>) => unknown) | undefined, severity),
  });
}

function runAlert(
  context: StepContext,
  id: string,
  rule: Rule,
  when: ((value: unknown, record: Rec<unknown, unknown>) => unknown) | undefined,
  severity: Severity | undefined,
) {
  const outlet = outletOf(context);
  const states = context.keyValueStore<unknown, AlertState>('alert');
  const timers = context.timers<unknown>({
    name: 'due',
    onTimer: (key, _name, atMs) =>
      outlet.due(() => {
        const state = states.get(key);
        assert(state !== undefined, `alert '${id}': a timer without a state`);
        settle(key, { ...state, dueMs: Number.POSITIVE_INFINITY }, elapse(rule, state, atMs));
      }),
  });
  /** Stores where the machine went, sets its alarm clock, and tells. */
  const settle = (key: unknown, before: AlertState, { state, transitions }: Moved, headers?: Headers): void => {
    states.set(key, state);
    if (state.dueMs !== before.dueMs) {
      if (state.dueMs === Number.POSITIVE_INFINITY) timers.clear(key, 'due');
      else timers.set(key, 'due', state.dueMs);
    }
    for (const { atMs, sinceMs, ordinal, state: now, value } of transitions) {
      const event: AlertEvent = { alertId: alertId(id, key, sinceMs, ordinal), rule: id, state: now, severity, sinceMs, atMs, value };
      outlet.emit(record(key, event, atMs, headers));
    }
  };
  return outlet.operator((rec) => {
    const key = keyOf(rec, 'alert');
    const seen = when === undefined ? 'present' : observationOf(when(rec.value, rec), id);
    const state = states.get(key) ?? UNSEEN;
    if (seen === 'missing') context.count('missing');
    if (isOutOfOrder(rule, state, rec.eventTimeMs)) {
      context.count('out_of_order');
      return;
    }
    const nowMs = Math.max(context.clock.streamTimeMs, rec.eventTimeMs);
    const moved = observe(rule, state, seen, rec.eventTimeMs, nowMs);
    if (moved.state !== state) settle(key, state, moved, rec.headers);
  });
}

function observationOf(reading: unknown, id: string): Observation {
  if (typeof reading === 'number') return Number.isFinite(reading) ? reading : 'missing';
  if (reading === undefined || reading === null) return 'missing';
  atOnce(reading, 'alert');
  throw new MillraceError(
    'E_RESULT',
    `alert '${id}': when returned a ${typeof reading}; return a number, or undefined when there is no reading`,
  );
}

const OPTIONS = ['when', 'above', 'below', 'clearAbove', 'clearBelow', 'for', 'absentFor', 'severity'];
const SEVERITIES = ['low', 'medium', 'high'];

/** Checks a rule and turns it into what the machine needs. Errors: E_PIPELINE, E_CONFIG. */
function ruleOf<K, V>(id: string, rule: AlertRule<K, V>): Rule {
  const wrong = (what: string): MillraceError => new MillraceError('E_PIPELINE', `alert '${id}': ${what}`);
  if (typeof rule !== 'object' || rule === null) throw wrong('expects a rule, e.g. { when: (r) => r.pm25, above: 55 }');
  for (const name of Object.keys(rule))
    if (!OPTIONS.includes(name)) throw wrong(`unknown option '${name}'; there are ${OPTIONS.join(', ')}`);
  const { above, below, clearAbove, clearBelow, absentFor, severity, when } = rule;
  for (const [name, limit] of Object.entries({ above, below, clearAbove, clearBelow }))
    if (limit !== undefined && !Number.isFinite(limit)) throw wrong(`${name} must be a finite number, got ${String(limit)}`);
  if (severity !== undefined && !SEVERITIES.includes(severity))
    throw wrong(`severity must be low, medium or high, got '${String(severity)}'`);
  if (when !== undefined) definedCallback(`alert '${id}': when`, when);
  const chosen = Object.entries({ above, below, absentFor }).flatMap(([name, given]) => (given === undefined ? [] : [name]));
  if (chosen.length !== 1)
    throw wrong(
      chosen.length === 0
        ? 'give above, below or absentFor'
        : `${chosen.join(' and ')} are two alarms; give each a step and an id of its own`,
    );
  if (absentFor !== undefined) return absenceOf(id, rule as AbsenceAlert<K, V>, wrong);
  if (when === undefined) throw wrong('when is missing: the reading to compare with the limit');
  return limitOf(id, rule as LimitAlert<K, V>, wrong);
}

function absenceOf<K, V>(id: string, rule: AbsenceAlert<K, V>, wrong: (what: string) => MillraceError): Rule {
  for (const name of ['clearAbove', 'clearBelow', 'for'] as const)
    if (rule[name] !== undefined) throw wrong(`${name} does not go with absentFor: silence ends with the next record`);
  const absentForMs = durationMs(rule.absentFor, `alert '${id}': absentFor`);
  if (absentForMs === 0) throw wrong('absentFor must be longer than nothing');
  return { kind: 'absence', absentForMs };
}

function limitOf<K, V>(id: string, rule: LimitAlert<K, V>, wrong: (what: string) => MillraceError): Rule {
  const { above, below, clearAbove, clearBelow } = rule;
  const forMs = rule.for === undefined ? 0 : durationMs(rule.for, `alert '${id}': for`);
  if (above !== undefined) {
    if (clearAbove !== undefined) throw wrong('clearAbove goes with below; with above, use clearBelow');
    if (clearBelow !== undefined && clearBelow > above)
      throw wrong(`clearBelow (${clearBelow}) must be at most above (${above}): the alarm would end while the limit is reached`);
    return { kind: 'threshold', sign: 1, limit: above, clear: clearBelow ?? above, forMs };
  }
  const limit = below as number;
  if (clearBelow !== undefined) throw wrong('clearBelow goes with above; with below, use clearAbove');
  if (clearAbove !== undefined && clearAbove < limit)
    throw wrong(`clearAbove (${clearAbove}) must be at least below (${limit}): the alarm would end while the limit is reached`);
  return { kind: 'threshold', sign: -1, limit, clear: clearAbove ?? limit, forMs };
}

function describeRule(rule: Rule, severity: Severity | undefined): string {
  const urgency = severity === undefined ? '' : `, ${severity}`;
  if (rule.kind === 'absence') return `alert when absent for ${formatMs(rule.absentForMs)}${urgency}`;
  const [side, clearSide] = rule.sign === 1 ? ['above', 'below'] : ['below', 'above'];
  const clear = rule.clear === rule.limit ? '' : `, clear ${clearSide} ${rule.clear}`;
  return `alert when ${side} ${rule.limit}${clear}${rule.forMs > 0 ? `, for ${formatMs(rule.forMs)}` : ''}${urgency}`;
}

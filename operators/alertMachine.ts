// The alarm itself: a pure function of state, observation and time. Knows no stores, no keys, no clock.

/** An alarm on a limit. Sign +1 watches for values above it, −1 for values below. */
export interface ThresholdRule {
  readonly kind: 'threshold';
  readonly sign: 1 | -1;
  /** Reached when sign × value ≥ sign × limit. */
  readonly limit: number;
  /** A firing alarm ends when sign × value < sign × clear. */
  readonly clear: number;
  /** The condition must hold this long. Unit: ms. */
  readonly forMs: number;
}

/** An alarm on silence. */
export interface AbsenceRule {
  readonly kind: 'absence';
  /** Unit: ms. */
  readonly absentForMs: number;
}

/** What an alarm watches for. */
export type Rule = ThresholdRule | AbsenceRule;

/** All that is remembered per key. Never changed, only replaced. */
export interface AlertState {
  readonly phase: 'normal' | 'pending' | 'firing';
  /** When the present or latest activation began: the reading that reached the limit, or the last one before silence. */
  readonly sinceMs: number;
  /** Activations that began in the same millisecond as this one, before it. */
  readonly ordinal: number;
  /** Event time of the newest observation. */
  readonly lastMs: number;
  /** The latest valid observation. */
  readonly value: number | undefined;
  /** The newest observation was missing: nothing is known, so a hold cannot end by time alone. */
  readonly missing: boolean;
  /** Stream time at which `elapse` is to be called; Infinity: not at all. */
  readonly dueMs: number;
}

/**
 * What a record says: a valid reading; `missing` when there is none in it, which is never normal;
 * `present` for a rule that asks for a sign of life only.
 */
export type Observation = number | 'missing' | 'present';

/** A change worth telling. */
export interface Transition {
  readonly state: 'pending' | 'firing' | 'resolved';
  /** When it happened, by event time. */
  readonly atMs: number;
  readonly sinceMs: number;
  readonly ordinal: number;
  readonly value: number | undefined;
}

/** What a step of the machine leads to. */
export interface Moved {
  readonly state: AlertState;
  readonly transitions: readonly Transition[];
}

/** Before the first observation. */
export const UNSEEN: AlertState = Object.freeze({
  phase: 'normal',
  sinceMs: Number.NEGATIVE_INFINITY,
  ordinal: 0,
  lastMs: Number.NEGATIVE_INFINITY,
  value: undefined,
  missing: false,
  dueMs: Number.POSITIVE_INFINITY,
});

const NOTHING: readonly Transition[] = Object.freeze([]);
const NEVER = Number.POSITIVE_INFINITY;

/** Whether the observation comes too late to count: for a limit, what is older than the newest one must not rewrite history. */
export function isOutOfOrder(rule: Rule, state: AlertState, timeMs: number): boolean {
  return rule.kind === 'threshold' && timeMs < state.lastMs;
}

/**
 * Takes one observation in that is not out of order.
 *
 * Unit  timeMs: event time of the observation · nowMs: stream time, at least timeMs
 */
export function observe(rule: Rule, state: AlertState, seen: Observation, timeMs: number, nowMs: number): Moved {
  if (rule.kind === 'absence') return heard(rule, state, seen, timeMs, nowMs);
  // The hold may have ended before this record without the timer having said so: the key's data runs behind stream time.
  const endedMs = state.sinceMs + rule.forMs;
  const held = state.phase === 'pending' && !state.missing && timeMs >= endedMs ? fire(state, endedMs) : undefined;
  const moved = judge(rule, held?.state ?? state, seen, timeMs, nowMs);
  return held === undefined ? moved : { state: moved.state, transitions: [...held.transitions, ...moved.transitions] };
}

/** Stream time has come to state.dueMs without a newer observation. */
export function elapse(rule: Rule, state: AlertState, atMs: number): Moved {
  const waiting = { ...state, dueMs: NEVER };
  if (rule.kind === 'absence') {
    const ordinal = state.lastMs === state.sinceMs ? state.ordinal + 1 : 0;
    const fired: AlertState = { ...waiting, phase: 'firing', sinceMs: state.lastMs, ordinal };
    return { state: fired, transitions: [transition(fired, 'firing', atMs, undefined)] };
  }
  if (state.phase !== 'pending' || state.missing) return { state: waiting, transitions: NOTHING };
  return fire(state, state.sinceMs + rule.forMs);
}

/** Judges a reading against the limits. One that is missing says nothing, neither that it is reached nor that it is not. */
function judge(rule: ThresholdRule, state: AlertState, value: Observation, timeMs: number, nowMs: number): Moved {
  if (typeof value !== 'number') return { state: { ...state, lastMs: timeMs, missing: true }, transitions: NOTHING };
  const next: AlertState = { ...state, lastMs: timeMs, value, missing: false };
  const reached = rule.sign * value >= rule.sign * rule.limit;
  if (state.phase === 'firing') {
    if (rule.sign * value >= rule.sign * rule.clear) return { state: next, transitions: NOTHING };
    // Never before it fired: the hold may have ended by stream time while this reading was on its way.
    return {
      state: { ...next, phase: 'normal' },
      transitions: [transition(next, 'resolved', Math.max(timeMs, state.sinceMs + rule.forMs), value)],
    };
  }
  if (!reached) return { state: state.phase === 'normal' ? next : { ...next, phase: 'normal', dueMs: NEVER }, transitions: NOTHING };
  if (state.phase === 'pending') return goOn(rule, state, next, timeMs, nowMs);
  const begun: AlertState = { ...next, phase: 'pending', sinceMs: timeMs, ordinal: timeMs === state.sinceMs ? state.ordinal + 1 : 0 };
  if (rule.forMs === 0) return fire(begun, timeMs);
  return { state: { ...begun, dueMs: nowMs + rule.forMs }, transitions: [transition(begun, 'pending', timeMs, value)] };
}

/** The limit is still reached. After a gap the hold goes on: it was neither ended nor begun anew by it. */
function goOn(rule: ThresholdRule, state: AlertState, next: AlertState, timeMs: number, nowMs: number): Moved {
  const leftMs = state.sinceMs + rule.forMs - timeMs;
  if (leftMs <= 0) return fire(next, timeMs);
  return { state: state.dueMs === NEVER ? { ...next, dueMs: nowMs + leftMs } : next, transitions: NOTHING };
}

function fire(state: AlertState, atMs: number): Moved {
  const firing: AlertState = { ...state, phase: 'firing', dueMs: NEVER };
  return { state: firing, transitions: [transition(firing, 'firing', atMs, state.value)] };
}

/** A sign of life, whatever its own time: silence is measured where records arrive. A missing reading is none. */
function heard(rule: AbsenceRule, state: AlertState, seen: Observation, timeMs: number, nowMs: number): Moved {
  if (seen === 'missing') return { state, transitions: NOTHING };
  const value = seen === 'present' ? undefined : seen;
  const next: AlertState = { ...state, phase: 'normal', lastMs: Math.max(timeMs, state.lastMs), value, dueMs: nowMs + rule.absentForMs };
  if (state.phase !== 'firing') return { state: next, transitions: NOTHING };
  return { state: next, transitions: [transition(state, 'resolved', nowMs, value)] };
}

function transition({ sinceMs, ordinal }: AlertState, state: Transition['state'], atMs: number, value: number | undefined): Transition {
  return { state, atMs, sinceMs, ordinal, value };
}

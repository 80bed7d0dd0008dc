// What an alert says when it changes state. The step that makes it and the sink that takes it both look here.

/** One transition of an alert. `alertId` is the same on every replay. */
export interface AlertEvent {
  /** Hash of rule, key and activation time. */
  readonly alertId: string;
  /** The id of the alert step. */
  readonly rule: string;
  readonly state: 'pending' | 'firing' | 'resolved';
  /** When what it warns of began: the reading that reached the limit, or the last record before silence. Unit: epoch ms. */
  readonly sinceMs: number;
  /** When it came into this state, by event time. Unit: epoch ms. */
  readonly atMs?: number | undefined;
  /** The observation that moved it; undefined when silence did. */
  readonly value: number | undefined;
  readonly severity?: 'low' | 'medium' | 'high' | undefined;
}

// When was it last certain that everything the devices had sent was in the log? See design, Time 4.

export interface DrainClock {
  /** Monotonic ms at which everything that had arrived by then for topic `index` was in the log; undefined when that is not so now. */
  drainedAtMs(index: number): number | undefined;
  stop(): void;
}

/** How often the clock looks. Unit: ms. */
const EVERY_MS = 50;

/**
 * An empty intake alone proves nothing: while the process is busy, publishes wait unread in the sockets. So the time is
 * taken before the sockets are read, and counts only if the intake is still quiet after all that was ready has been read
 * (Node runs timers, then reads sockets, then runs setImmediate).
 */
export function drainClock(topicCount: number, isQuiet: (index: number) => boolean, monotonicMs: () => number): DrainClock {
  const drained: (number | undefined)[] = new Array(topicCount).fill(undefined);
  const look = (): void => {
    const beforeReadingMs = monotonicMs();
    setImmediate(() => {
      for (let i = 0; i < topicCount; i++) if (isQuiet(i)) drained[i] = beforeReadingMs;
    });
  };
  const timer = setInterval(look, EVERY_MS);
  timer.unref();
  look();
  return {
    drainedAtMs: (index) => (isQuiet(index) ? drained[index] : undefined),
    stop: () => clearInterval(timer),
  };
}

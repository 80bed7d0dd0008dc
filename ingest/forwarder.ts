// What subscribers of the listener see: publishes that are in the log, at QoS 0. They look on; devices never wait for them.
import { parseFilter } from './filter.ts';
import { filterTrie, levelsOf } from './filterTrie.ts';
import { retainedBudget } from './retained.ts';
import type { Sessions } from './sessions.ts';

/** A publish to show, with a payload of its own. */
export interface Forward {
  readonly mqttTopic: string;
  readonly payload: Buffer;
  readonly isRetained: boolean;
}

export interface Forwarder {
  /** Whether anybody would see a publish to this topic. */
  wants(mqttTopic: string, isRetained: boolean): boolean;
  send(forward: Forward): void;
  subscribe(filter: string): void;
  unsubscribe(filter: string): void;
  /** Publishes not shown because subscribers were behind. */
  readonly dropped: number;
  /** Retained messages not remembered because there was no room. */
  readonly notRetained: number;
}

/** Publishes on their way to subscribers; more are dropped and counted. */
const UNDERWAY_MAX = 10_000;

export function forwarder(sessions: Pick<Sessions, 'show' | 'retain'>): Forwarder {
  const filters = filterTrie<string>();
  const subscribers = new Map<string, number>();
  const budget = retainedBudget();
  let underway = 0;
  let dropped = 0;
  let notRetained = 0;

  const remember = ({ mqttTopic, payload }: Forward): void => {
    if (!budget.take(mqttTopic, payload.length)) {
      notRetained++;
      return;
    }
    sessions.retain(mqttTopic, payload).catch(() => notRetained++);
  };

  return {
    wants: (mqttTopic, isRetained) => isRetained || (filters.size > 0 && filters.match(levelsOf(mqttTopic)).size > 0),
    send(forward) {
      // Retained ones are stored on their own: inside a session's publish they would be overtaken, and then dropped as duplicates.
      if (forward.isRetained) remember(forward);
      if (filters.size === 0) return;
      if (underway >= UNDERWAY_MAX) {
        dropped++;
        return;
      }
      underway++;
      sessions.show(forward.mqttTopic, forward.payload, () => underway--);
    },
    subscribe(filter) {
      const count = subscribers.get(filter) ?? 0;
      subscribers.set(filter, count + 1);
      if (count === 0) filters.add(subscriptionLevels(filter), filter);
    },
    unsubscribe(filter) {
      const count = subscribers.get(filter);
      if (count === undefined) return;
      if (count > 1) {
        subscribers.set(filter, count - 1);
        return;
      }
      subscribers.delete(filter);
      filters.remove(subscriptionLevels(filter), filter);
    },
    get dropped() {
      return dropped;
    },
    get notRetained() {
      return notRetained;
    },
  };
}

/** A subscription's filter in levels; it has passed the checks of a SUBSCRIBE. */
function subscriptionLevels(filter: string): ReturnType<typeof parseFilter> {
  return levelsOf(filter).map((text) =>
    text === '#' ? { kind: 'rest' } : text === '+' ? { kind: 'one', name: undefined } : { kind: 'text', text },
  );
}

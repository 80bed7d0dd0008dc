// How much the server may remember of retained messages, so that nobody can fill its memory with them.

/** Most topics with a retained message. */
const TOPICS_MAX = 10_000;
/** Topics and payloads together. Unit: bytes. */
const BYTES_MAX = 32 << 20;

export interface RetainedBudget {
  /** Whether this message may be remembered; books it when it may. An empty payload forgets the topic's. */
  take(mqttTopic: string, payloadBytes: number): boolean;
}

export function retainedBudget(topicsMax = TOPICS_MAX, bytesMax = BYTES_MAX): RetainedBudget {
  const held = new Map<string, number>();
  let bytes = 0;
  return {
    take(mqttTopic, payloadBytes) {
      const before = held.get(mqttTopic);
      if (payloadBytes === 0) {
        held.delete(mqttTopic);
        bytes -= before ?? 0;
        return true;
      }
      const after = 2 * mqttTopic.length + payloadBytes;
      if ((before === undefined && held.size >= topicsMax) || bytes - (before ?? 0) + after > bytesMax) return false;
      held.set(mqttTopic, after);
      bytes += after - (before ?? 0);
      return true;
    },
  };
}

// Which partition a key belongs to: Kafka's default partitioner, to the bit.

/**
 * Kafka's murmur2 over the bytes, as a signed 32-bit integer.
 *
 * Source  org.apache.kafka.common.utils.Utils.murmur2 (seed 0x9747b28c)
 */
export function murmur2(bytes: Uint8Array): number {
  const m = 0x5bd1e995;
  const length = bytes.length;
  let h = 0x9747b28c ^ length;
  const whole = length & ~3;
  for (let i = 0; i < whole; i += 4) {
    let k = (bytes[i] as number) | ((bytes[i + 1] as number) << 8) | ((bytes[i + 2] as number) << 16) | ((bytes[i + 3] as number) << 24);
    k = Math.imul(k, m);
    k ^= k >>> 24;
    k = Math.imul(k, m);
    h = Math.imul(h, m) ^ k;
  }
  const rest = length & 3;
  if (rest === 3) h ^= (bytes[whole + 2] as number) << 16;
  if (rest >= 2) h ^= (bytes[whole + 1] as number) << 8;
  if (rest >= 1) {
    h ^= bytes[whole] as number;
    h = Math.imul(h, m);
  }
  h ^= h >>> 13;
  h = Math.imul(h, m);
  h ^= h >>> 15;
  return h | 0;
}

/** The partition of a key among `partitions`. A record without a key goes to partition 0. */
export function partitionOf(key: Uint8Array | null, partitions: number): number {
  if (partitions === 1 || key === null) return 0;
  return (murmur2(key) & 0x7fffffff) % partitions;
}

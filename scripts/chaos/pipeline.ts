// The pipeline the kill harness runs: every message as a row, counts and sums per device and second, late ones kept.
import { aggregate, count, duckdb, json, mqtt, pipeline, stream, sum, topic, tumbling } from 'millrace';
import { z } from 'zod';

const Message = z.object({ id: z.string(), device: z.string(), atMs: z.number(), v: z.number() });

const messages = topic('chaos.messages', json(Message), {
  from: mqtt('chaos/+device', { key: '{device}', eventTime: (m) => m.atMs }),
});
const all = stream(messages);
const windows = all.pipe(
  aggregate('per-second', tumbling({ seconds: 1 }, { grace: { seconds: 2 } }), { n: count(), total: sum((m) => m.v) }),
);

export default pipeline(
  'chaos',
  [all.to(duckdb('chaos_rows')), windows.to(duckdb('chaos_windows')), windows.side('late').to(duckdb('chaos_late'))],
  {
    idleAfterMs: 500,
    commitEveryMs: 20,
  },
);

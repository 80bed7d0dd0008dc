// The pipeline behind bench/alertLatency.ts: an alarm on a limit per device, without a hold.
import { alert, alerts, json, mqtt, pipeline, stream, topic } from 'millrace';
import { z } from 'zod';

const readings = topic('latency.readings', json(z.object({ value: z.number() })), {
  from: mqtt('latency/+device', { key: '{device}' }),
});

export default pipeline('latency', [
  stream(readings)
    .pipe(alert('too-high', { when: (reading) => reading.value, above: 1 }))
    .to(alerts()),
]);

// millrace publish: one MQTT message to the running instance, and with QoS 1 the wait until the log has it.
import { connectAsync, type MqttClient } from 'mqtt';
import { MillraceError, messageOf } from '../../engine/errors.ts';
import type { Command } from '../command.ts';
import { runningOn } from '../dataFolder.ts';

const ANSWER_MS_MAX = 10_000;

/** Publishes one message; fails when the listener refuses it or does not answer. */
export const publish: Command = async ({ args, values, data }) => {
  const [topic, payload] = args as readonly [string, string];
  checkTopic(topic);
  checkJson(payload);
  const { host, port } = runningOn(data).mqtt;
  const address = `mqtt://${host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host}:${port}`;
  let client: MqttClient;
  try {
    client = await connectAsync(address, {
      clientId: `millrace-publish-${process.pid}`,
      reconnectPeriod: 0,
      connectTimeout: ANSWER_MS_MAX,
      ...(values.mqttUser === undefined ? {} : { username: values.mqttUser }),
      ...(values.mqttPassword === undefined ? {} : { password: values.mqttPassword }),
    });
  } catch (error) {
    throw new MillraceError('E_NOT_RUNNING', `the listener at ${address} refused the connection: ${messageOf(error)}`, { cause: error });
  }
  try {
    await acknowledged(client, topic, payload, values.qos === '0' ? 0 : 1);
  } finally {
    client.end(true);
  }
  return 0;
};

/** Resolves with the PUBACK; with QoS 0, which has no answer, when the connection has been ended in good order. */
function acknowledged(client: MqttClient, topic: string, payload: string, qos: 0 | 1): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (why: string): void => {
      clearTimeout(late);
      reject(new MillraceError('E_MQTT_PACKET', `publish to '${topic}' failed: the listener ${why}`));
    };
    const onClose = (): void => refuse('closed the connection');
    const late = setTimeout(() => refuse('did not acknowledge it within 10 s; the log may be full or the disk slow'), ANSWER_MS_MAX);
    client.once('close', onClose);
    client.once('error', (error) => refuse(messageOf(error)));
    client.publish(topic, payload, { qos }, (error) => {
      if (error) return refuse(messageOf(error));
      clearTimeout(late);
      client.off('close', onClose);
      if (qos === 0) client.end(false, {}, () => resolve());
      else resolve();
    });
  });
}

function checkTopic(topic: string): void {
  if (topic === '' || /[+#\0]/.test(topic))
    throw new MillraceError(
      'E_USAGE',
      `'${topic}' is no MQTT topic to publish to: it may not be empty nor hold + or #; e.g. city/north/air/s1`,
    );
}

function checkJson(payload: string): void {
  try {
    JSON.parse(payload);
  } catch (error) {
    throw new MillraceError('E_USAGE', `the message is not JSON: ${messageOf(error)}; quote it for the shell: '{"pm25": 12}'`);
  }
}

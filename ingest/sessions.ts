// MQTT sessions by aedes: who is connected under which client id, subscriptions, wills. It sees only packets that were checked.
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Aedes, type AuthenticateError, type Client } from 'aedes';
import { messageOf } from '../engine/errors.ts';
import type { Connection } from './connection.ts';
import { LEVELS_MAX } from './filter.ts';
import { printable } from './namedOnce.ts';
import type { Users } from './users.ts';

/** A will, as the client left it at CONNECT. */
export interface Will {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
}

export interface SessionsOptions {
  readonly users: Users | undefined;
  /** How long a wrong password waits for its answer. Unit: ms. */
  readonly wrongPasswordMs: number;
  /** Whether this client may subscribe to this filter. */
  readonly maySubscribe: (connection: Connection, filter: string) => boolean;
  readonly onWill: (will: Will) => void;
  readonly onRejected: (why: string) => void;
  readonly onWarning: (message: string) => void;
}

export interface Sessions {
  /** Makes a session out of a stream of checked packets. */
  open(stream: Duplex, connection: Connection): void;
  /** Shows a message to whoever subscribed to it, at QoS 0. */
  show(mqttTopic: string, payload: Buffer, done: () => void): void;
  /** Remembers a message for who subscribes later; an empty one forgets. */
  retain(mqttTopic: string, payload: Buffer): Promise<void>;
  /** Ends all sessions. */
  close(): Promise<void>;
}

/** aedes' persistence, which its types leave out; every persistence of aedes has this. */
interface Persistence {
  storeRetained(packet: object): Promise<void>;
}

export async function startSessions(options: SessionsOptions): Promise<Sessions> {
  const { maySubscribe, onWarning } = options;
  const byStream = new WeakMap<object, Connection>();
  const connectionOf = (client: Client): Connection | undefined => byStream.get(client.conn);
  const aedes = await Aedes.createBroker({
    maxTopicLevels: LEVELS_MAX,
    // The connection keeps both clocks, and closes who does not read; a session never waits.
    connectTimeout: 2 ** 30,
    drainTimeout: 0,
    authenticate: (client, user, password, done) => authenticate(options, connectionOf(client), user, password, done),
    authorizeSubscribe: (client, subscription, done) => {
      const connection = connectionOf(client);
      done(null, connection !== undefined && maySubscribe(connection, subscription.topic) ? subscription : null);
    },
    // Publishes never come here: the connection takes them. A will goes the same way, and aedes need not send it again.
    authorizePublish: (_client, will, done) => {
      options.onWill(will as unknown as Will);
      done(new Error('taken'));
    },
  });
  aedes.on('error' as 'closed', ((error: unknown) => onWarning(`MQTT sessions: ${printable(messageOf(error))}`)) as () => void);
  aedes.on('clientReady', (client) => connectionOf(client)?.ready());
  return {
    open(stream, connection) {
      byStream.set(stream, connection);
      aedes.handle(stream as Duplex & Socket);
    },
    show: (topic, payload, done) => aedes.publish({ cmd: 'publish', topic, payload, qos: 0, retain: false, dup: false }, () => done()),
    retain: (topic, payload) =>
      (aedes as unknown as { persistence: Persistence }).persistence.storeRetained({
        cmd: 'publish',
        topic,
        payload,
        qos: 0,
        retain: true,
        dup: false,
      }),
    close: () => new Promise((resolve) => aedes.close(() => resolve())),
  };
}

/** CONNACK's return code. Source: MQTT 3.1.1, 3.2.2.3. */
const BAD_USER_NAME_OR_PASSWORD = 4;

type Answer = (error: AuthenticateError | null, isRight: boolean | null) => void;

/** Lets the client in or, after a while, says why not: guessing is slow, and takes the same time for a user that does not exist. */
function authenticate(
  { users, wrongPasswordMs, onRejected, onWarning }: SessionsOptions,
  connection: Connection | undefined,
  user: string | undefined,
  password: Uint8Array | undefined,
  answer: Answer,
): void {
  if (users === undefined) return answer(null, true);
  users
    .check(user, password)
    .catch((error: unknown) => {
      onWarning(`MQTT users: ${printable(messageOf(error))}`);
      return false;
    })
    .then((isRight) => {
      if (isRight) return answer(null, true);
      onRejected('a wrong user name or password');
      connection?.doom();
      setTimeout(() => {
        const error = Object.assign(new Error('bad user name or password'), { returnCode: BAD_USER_NAME_OR_PASSWORD });
        answer(error as AuthenticateError, false);
      }, wrongPasswordMs).unref();
    });
}

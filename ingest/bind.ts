// Where the listener listens: this machine only, unless there are users.
import type { AddressInfo, Server } from 'node:net';
import { MillraceError } from '../engine/errors.ts';

/** Addresses that only this machine reaches. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);
}

/** Throws E_MQTT_AUTH when others could reach the host and nobody has to name themselves. */
export function checkHost(host: string, hasUsers: boolean): void {
  if (!isLoopback(host) && !hasUsers)
    throw new MillraceError(
      'E_MQTT_AUTH',
      `MQTT host '${host}' can be reached from other machines, and there is no users file; give one, or use 127.0.0.1`,
    );
}

/**
 * Listens, and says on which port. With `isFallback`, a taken port is replaced by any free one.
 *
 * Errors  E_CONFIG when the port is taken, may not be used, or the host is not this machine's
 */
export async function bind(server: Server, host: string, port: number, isFallback: boolean): Promise<number> {
  try {
    return await listen(server, host, port);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE' && isFallback && port !== 0) return bind(server, host, 0, false);
    const why =
      code === 'EADDRINUSE'
        ? `port ${port} on ${host} is taken by another program; choose another, or 0 for any free one`
        : code === 'EACCES'
          ? `port ${port} on ${host} may not be used by this user; choose one above 1023`
          : code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND'
            ? `'${host}' is not an address of this machine`
            : `cannot listen on ${host} port ${port}: ${message}`;
    throw new MillraceError('E_CONFIG', `MQTT listener: ${why}`, { cause: error });
  }
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: host.replace(/^\[|\]$/g, ''), port }, () => {
      server.off('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

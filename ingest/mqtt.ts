// The descriptor of an MQTT route: a plain value in a topic's declaration. Loads nothing of the listener.
import { MillraceError } from '../engine/errors.ts';
import type { Route } from '../engine/topic.ts';
import { parseFilter, parseKeyTemplate } from './filter.ts';

/** How publishes become records: their key, and when they happened. */
export interface MqttRouteOptions<V> {
  /** Template over the filter's names: `{zone}/{device}`. Records of one key stay in order. */
  readonly key: string;
  /** When the reading happened: epoch ms, a Date or an ISO 8601 text. Default: when it arrived. */
  readonly eventTime?: (value: V) => number | Date | string;
  /**
   * What a bridge does with retained messages that a broker delivers when it subscribes. `table` stores them, `drop`
   * (the default) counts and leaves them. A device's own publish with the retain flag is stored either way.
   */
  readonly retained?: 'table' | 'drop';
}

const OPTIONS = ['key', 'eventTime', 'retained'];

/**
 * Says which MQTT publishes become records of a topic, and how: `+name` matches one level and names it,
 * `+` one level without a name, `#` the rest; names build the key.
 *
 * Errors  E_CONFIG, when the pipeline file is read, for a filter, key template or option that cannot be
 * @example  topic('city.air', json(AirReading), { from: mqtt('city/+zone/air/+device', { key: '{zone}/{device}', eventTime: (r) => r.at }) })
 */
export function mqtt<V>(filter: string, options: MqttRouteOptions<V>): Route<V> {
  if (typeof options !== 'object' || options === null)
    throw new MillraceError('E_CONFIG', `mqtt('${String(filter)}'): give options with a key, such as { key: '{device}' }`);
  const { key, eventTime, retained = 'drop' } = options;
  parseKeyTemplate(key, parseFilter(filter), filter);
  for (const name of Object.keys(options))
    if (!OPTIONS.includes(name))
      throw new MillraceError('E_CONFIG', `mqtt('${filter}'): unknown option '${name}'; there are ${OPTIONS.join(', ')}`);
  if (eventTime !== undefined && typeof eventTime !== 'function')
    throw new MillraceError('E_CONFIG', `mqtt('${filter}'): eventTime must be a function of the value, got ${typeof eventTime}`);
  if (retained !== 'table' && retained !== 'drop')
    throw new MillraceError('E_CONFIG', `mqtt('${filter}'): retained must be 'table' or 'drop', got '${String(retained)}'`);
  return Object.freeze({ kind: 'mqtt', filter, key, eventTime, retained });
}

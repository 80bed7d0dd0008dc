// Real parts (a broker, another language's client, taskset …): a test that lacks one is skipped with its reason on a
// developer's machine, and fails where everything must be there (.ci/run sets MILLRACE_REQUIRE_REAL=1).
//
//   const broker = requireOrSkip('Apache Kafka', kafkaLibsFound, 'run scripts/kafka/up.sh once: it fetches the jars');
//   it.skipIf(broker.skip)('reads what a real broker wrote', …)
import { spawnSync } from 'node:child_process';

/** Whether a test that needs a real part runs. */
export interface RealPart {
  /** For `it.skipIf` and `describe.skipIf`. */
  readonly skip: boolean;
  readonly reason: string;
}

/**
 * Says whether the tests of a real part run, and prints why if they do not.
 * Throws when the part is missing though MILLRACE_REQUIRE_REAL=1 says that it must be there.
 */
export function requireOrSkip(part: string, available: boolean, why: string): RealPart {
  if (available) return { skip: false, reason: '' };
  const reason = `${part} is not here: ${why}`;
  if (process.env.MILLRACE_REQUIRE_REAL === '1') throw new Error(`MILLRACE_REQUIRE_REAL=1, but ${reason}`);
  console.warn(`skipped: ${reason}`);
  return { skip: true, reason };
}

/** Whether a program can be started: `hasProgram('mosquitto_pub')`. */
export function hasProgram(program: string, args: readonly string[] = ['--version']): boolean {
  const { error } = spawnSync(program, [...args], { stdio: 'ignore', timeout: 20_000 });
  return error === undefined;
}

/** Whether a program runs with these arguments and ends well: for parts that are modules of another language. */
export function runsWell(program: string, args: readonly string[]): boolean {
  const { error, status } = spawnSync(program, [...args], { stdio: 'ignore', timeout: 20_000 });
  return error === undefined && status === 0;
}

// millrace query: one SELECT, answered by the desk of the running instance.
import { type ErrorCode, ERRORS, MillraceError, messageOf } from '../../engine/errors.ts';
import { type Command, print, tell } from '../command.ts';
import { readToken, runningOn } from '../dataFolder.ts';
import { type Rows, rowsText } from '../tableText.ts';

/** What the desk answers. */
interface Answer extends Rows {
  /** There were more rows than the desk sends. */
  readonly truncated: boolean;
}

/** What the desk answers when it refuses. */
interface Refusal {
  readonly code?: string;
  readonly message?: string;
}

/** Asks, and prints the rows as a table, JSON or CSV. */
export const query: Command = async ({ args, values, data }) => {
  const { http } = runningOn(data);
  const address = `http://${http.host}:${http.port}/query`;
  let response: Response;
  try {
    response = await fetch(address, {
      method: 'POST',
      headers: { authorization: `Bearer ${readToken(data)}`, 'content-type': 'application/json' },
      body: JSON.stringify({ sql: args[0] }),
    });
  } catch (error) {
    throw new MillraceError(
      'E_NOT_RUNNING',
      `the desk at ${address} does not answer: ${messageOf((error as Error).cause ?? error)}; it may be starting again`,
      { cause: error },
    );
  }
  const text = await response.text();
  if (!response.ok) throw refused(response.status, text);
  const answer = JSON.parse(text) as Answer;
  await print(rowsText(values.format as string, answer));
  if (answer.truncated) tell(`only the first ${answer.rows.length} rows are shown: the answer was too large; add WHERE or LIMIT`);
  return 0;
};

function refused(status: number, text: string): MillraceError {
  let refusal: Refusal = {};
  try {
    refusal = JSON.parse(text) as Refusal;
  } catch {
    // Not from our desk, or cut off: the status must do.
  }
  const code = refusal.code !== undefined && Object.hasOwn(ERRORS, refusal.code) ? (refusal.code as ErrorCode) : 'E_QUERY';
  return new MillraceError(code, (refusal.message ?? `the desk answered ${status}: ${text.slice(0, 200)}`).replace(/^E_[A-Z_]+: /, ''));
}

// millrace/runtime: run millrace inside another program. Starting it forks the same processes as `millrace run`.
export { hashPassword } from '../ingest/password.ts';
export type { Config } from './config.ts';
export type { Address, RunningInfo } from './messages.ts';
export { type Millrace, type MillraceOptions, startMillrace } from './startMillrace.ts';

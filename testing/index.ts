// millrace/testing: run a pipeline in memory, in virtual time.
export { type DeadLettered, type Driver, type DriveOptions, drive, type ReadRecord } from './drive.ts';

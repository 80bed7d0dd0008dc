// millrace describe: the graph of a pipeline as text, Mermaid or JSON. Starts nothing.
import { describePlan, type PlanFormat } from '../../engine/describe.ts';
import { planOf } from '../../engine/plan.ts';
import { type Command, print } from '../command.ts';
import { findPipeline, loadPipeline } from '../loadPipeline.ts';

/** Prints what a pipeline is made of. */
export const describe: Command = async ({ args, cwd, values }) => {
  const { pipeline } = await loadPipeline(findPipeline(args[0] as string, cwd));
  const text = describePlan(planOf(pipeline), values.format as PlanFormat);
  await print(text.endsWith('\n') ? text : `${text}\n`);
  return 0;
};

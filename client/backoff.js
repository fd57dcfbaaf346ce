/**
 * How long to wait before the page calls again.
 *
 * Exponential with full jitter in its upper half, so that many pages cut off by one restart do not come back in one
 * wave. Bounded in both ways: no wait is longer than `maxMs`, and after `attempts` waits there is no next one.
 */

/** @typedef {{firstMs: number, factor: number, maxMs: number, attempts: number}} BackoffPlan */

/** @type {BackoffPlan} Eight waits, about 70 s in all at most. */
export const RETURN_PLAN = { firstMs: 500, factor: 2, maxMs: 15_000, attempts: 8 };

/**
 * @param {number} attempt Waits already made, from 0.
 * @param {BackoffPlan} plan
 * @param {() => number} random Uniform in [0, 1).
 * @returns {number | null} Milliseconds to wait, or null once the plan is spent.
 */
export function waitBefore(attempt, plan = RETURN_PLAN, random = Math.random) {
  if (attempt >= plan.attempts) return null;
  const ceiling = Math.min(plan.maxMs, plan.firstMs * plan.factor ** attempt);
  return Math.round(ceiling * (0.5 + 0.5 * random()));
}

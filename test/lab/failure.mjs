/** The one error type of the lab: its message is for a person, its `status` is what the runner exits with. */

/** Exit statuses of the runner itself. Everything else is the status of the command in the guest. */
export const exitStatus = Object.freeze({ usage: 2, missingPackages: 3, timeLimit: 124, labFailed: 125 });

export class LabError extends Error {
  /**
   * @param {string} message
   * @param {{ status?: number, cause?: unknown }} [details]
   */
  constructor(message, { status = exitStatus.labFailed, cause } = {}) {
    super(message, { cause });
    this.name = 'LabError';
    this.status = status;
  }
}

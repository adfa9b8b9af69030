// Named checks, and the one line that counts them.

export class Report {
  passed = 0;
  failed = [];

  /** Runs one check; an exception is its failure. Returns what the check returned. */
  async check(name, run) {
    const began = Date.now();
    try {
      const result = await run();
      this.passed += 1;
      console.log(`ok   ${name} (${Date.now() - began} ms)`);
      return result;
    } catch (error) {
      this.failed.push(name);
      console.log(`FAIL ${name}: ${error.message}`);
      return undefined;
    }
  }

  /** Prints the sum and returns the exit code. */
  finish() {
    if (this.failed.length > 0) console.log(`failed: ${this.failed.join('; ')}`);
    console.log(`${this.passed} passed, ${this.failed.length} failed`);
    return this.failed.length === 0 && this.passed > 0 ? 0 : 1;
  }
}

/** Throws unless the condition holds. */
export function assert(condition, message) {
  if (!condition) throw new Error(message);
}

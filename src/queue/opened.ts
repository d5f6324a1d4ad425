/** What uses a connection, and reports that it was lost. */
interface User {
  close(): Promise<void>;
  on(event: 'error', listener: () => void): unknown;
}

/** All that was made of a connection. */
export class Opened {
  private readonly users: User[] = [];

  /** Adds a user, whose errors the connection itself tells of. @returns the user. */
  add<Some extends User>(user: Some): Some {
    user.on('error', () => {});
    this.users.push(user);
    return user;
  }

  /** Closes all; those that cannot be closed end with the connection. */
  async close(): Promise<void> {
    await Promise.all(this.users.map((user) => user.close().catch(() => {})));
  }
}

// Fills @OUTPUT@ of every row of @TABLE@ that has none yet, and of every row that comes.
const url = process.env.KALAMDB_URL ?? "@URL@";
const user = process.env.KALAMDB_USER ?? "root";
const password = process.env.KALAMDB_PASSWORD ?? "";
const systemPrompt = process.env.SYSTEM_PROMPT ?? "";
const query = "SELECT @ID@, @INPUT@, @OUTPUT@ FROM @TABLE@ WHERE @OUTPUT@ IS NULL";

interface Row {
  @ID@: string;
  @INPUT@: string;
}

// Ask your model here. This stand-in takes the first sentence.
async function answer(system: string, input: string): Promise<string> {
  void system;
  return input.split(/(?<=[.!?])\s/)[0].slice(0, 200);
}

async function post(path: string, body: unknown, token?: string): Promise<any> {
  const headers: Record<string, string> = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const reply = await fetch(url + path, { method: "POST", headers, body: JSON.stringify(body) });
  const result = await reply.json();
  if (!reply.ok) throw new Error(result.error?.message ?? result.message ?? `HTTP ${reply.status}`);
  return result;
}

async function work(token: string, row: Row): Promise<void> {
  const output = await answer(systemPrompt, row.@INPUT@);
  await post("/v1/api/sql", {
    sql: "UPDATE @TABLE@ SET @OUTPUT@ = $1 WHERE @ID@ = $2 AND @OUTPUT@ IS NULL",
    params: [output, row.@ID@],
  }, token);
  console.log(`${row.@ID@}: ${output}`);
}

// Follows the query until the connection ends.
async function follow(): Promise<void> {
  const token: string = (await post("/v1/api/auth/login", { user, password })).access_token;
  const socket = new WebSocket(url.replace(/^http/, "ws") + "/v1/ws");
  const send = (message: unknown) => socket.send(JSON.stringify(message));
  // Rows are worked on one after another.
  let last = Promise.resolve();
  const take = (rows: Row[]) => {
    for (const row of rows) {
      last = last.then(() => work(token, row)).catch((error) => console.error(`${row.@ID@}:`, error.message));
    }
  };
  socket.onopen = () => send({
    type: "authenticate", method: "jwt", token, protocol: { serialization: "json", compression: "none" },
  });
  socket.onmessage = (event) => {
    const message = JSON.parse(String(event.data));
    if (message.type === "auth_success") {
      send({ type: "subscribe", subscription: { id: "work", sql: query, options: { batch_size: 100 } } });
      console.log(`watching @TABLE@ at ${url}`);
    } else if (message.type === "initial_data_batch") {
      take(message.rows);
      if (message.batch_control.has_more) {
        send({ type: "next_batch", subscription_id: "work", last_seq_id: message.batch_control.last_seq_id });
      }
    } else if (message.type === "change" && message.change_type === "insert") {
      take(message.rows);
    } else if (message.type === "error" || message.type === "auth_error") {
      console.error(message.message);
      socket.close();
    }
  };
  await new Promise<void>((resolve) => {
    socket.onclose = () => resolve();
    socket.onerror = () => resolve();
  });
}

for (;;) {
  try {
    await follow();
  } catch (error) {
    console.error((error as Error).message);
  }
  await new Promise((resolve) => setTimeout(resolve, 2000));
}

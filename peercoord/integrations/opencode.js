// peercoord's plugin for opencode: tells what happens in a session to the team's hook, and acts on the answers.
import { spawn, spawnSync } from "node:child_process"

const HOOK = @HOOK@
const WORKTREE = @WORKTREE@ || process.env.PEERCOORD_WORKTREE || ""
const words = (event) => [event, "opencode", ...(WORKTREE ? [WORKTREE] : [])]

const ask = (event, said) =>
  new Promise((resolve) => {
    let out = ""
    const hook = spawn(HOOK, words(event), { stdio: ["pipe", "pipe", "ignore"] })
    hook.on("error", () => resolve({}))
    hook.stdin.on("error", () => {})
    hook.stdout.on("data", (data) => (out += data))
    hook.on("close", () => {
      try {
        resolve(JSON.parse(out || "{}"))
      } catch {
        resolve({})
      }
    })
    hook.stdin.end(JSON.stringify(said))
  })

export const Peercoord = async ({ client, directory }) => {
  const told = new Map() // by session, what it was told at its start, or since it was compacted
  const children = new Set() // sessions of subagents: their parents tell of themselves
  let last = ""
  const about = (id, more = {}) => ({ session_id: id, cwd: directory, ...more })
  const begin = (id, event, more) => {
    last = id
    const text = ask(event, about(id, more)).then((answer) => answer.additionalContext || "")
    told.set(id, text)
    return text
  }
  process.once("exit", () => {
    if (last) spawnSync(HOOK, words("end"), { input: JSON.stringify(about(last, { reason: "exit" })), timeout: 3000 })
  })

  const handle = {
    "session.created": ({ info }) => (info.parentID ? children.add(info.id) : begin(info.id, "start", { source: "startup" })),
    "permission.asked": (it) => {
      const command = [].concat(it.patterns || it.pattern || []).join(" ")
      return ask("permission", about(it.sessionID, { tool_name: it.permission || it.type || it.title || "", tool_input: { command } }))
    },
    "session.error": (it) => {
      const error = it.error || {}
      const message = (error.data && error.data.message) || error.message || ""
      return ask("stop-failure", about(it.sessionID, { error: { name: error.name || "", message } }))
    },
    "session.idle": async (it) => {
      const answer = await ask("stop", about(it.sessionID))
      if (answer.decision !== "block") return
      client.session
        .prompt({ path: { id: it.sessionID }, body: { parts: [{ type: "text", text: answer.reason }] } })
        .catch(() => {})
    },
  }

  return {
    event: async ({ event }) => {
      const it = event.properties || {}
      if (handle[event.type] && !children.has(it.sessionID)) await handle[event.type](it)
    },
    "chat.message": async (it) => {
      if (!children.has(it.sessionID)) await ask("prompt", about(it.sessionID))
    },
    "tool.execute.after": async (it, result) => {
      if (children.has(it.sessionID)) return
      const { additionalContext } = await ask("tools", about(it.sessionID))
      if (additionalContext) result.output += `\n${additionalContext}`
    },
    "experimental.chat.system.transform": async (it, result) => {
      if (!it.sessionID || children.has(it.sessionID)) return
      const text = await (told.get(it.sessionID) || begin(it.sessionID, "start", { source: "resume" }))
      if (text) result.system.push(text)
    },
    "experimental.session.compacting": async (it, result) => {
      if (children.has(it.sessionID)) return
      const text = await begin(it.sessionID, "compact")
      if (text) result.context.push(text)
    },
  }
}

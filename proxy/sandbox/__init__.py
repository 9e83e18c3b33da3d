"""A simulated DashScope: good enough to develop a client against, honest about being a stage.

It speaks the wire protocol the way the real service does, rough edges included: it leaks
account headers, lists every task of the account, sets sticky cookies, and answers UNKNOWN
for ids it never gave. Nothing is generated; results are tiny placeholder files.

The walk of one request:

    server     one handler: log it, break it if told to, answer it
    record     every request as it came off the wire, with framing and a digest of the body
    faults     what goes wrong on purpose, and how often
    ask        who asks what: key, JSON body, model, mode
    surfaces   the protocols by their prefixes, and what they have in common
    openai     as OpenAI speaks: chat, embeddings, rerank, models
      responses      answers that are stored
      batches        files, and batches made of them
    anthropic  as Anthropic speaks: messages, models
    api        the native one, path and mode to endpoint: one table
      inference      text, multimodal, embeddings, rerank, speech, tokenizer
      customization  vocabularies and voices
      tasks          the task desk: poll, cancel, list
        ledger         the tasks of every account and where they stand
        quota          how many polls a second an account may send
        outputs        what a finished task answers
        usage          what it reports as used, by model family
      resources      files, fine-tunes, deployments, assistants: collections
      apps           applications and MCP servers
      uploads        upload policies, object POST, `oss://`
      models         the catalogue
    prompts    words in a prompt that steer the outcome (`sandbox:fail`, ...)
    files      result links, signed and expiring like the real ones
    answers    what an answer is: native JSON, refusal, SSE frames
    delivery   how an answer goes over the wire, faults included
    control    the HTTP surface under `/sandbox/` for tests in other processes

The room stands alone: it imports aiohttp and nothing else of ours.
"""

from proxy.sandbox.faults import Fault
from proxy.sandbox.record import ReceivedRequest
from proxy.sandbox.server import Sandbox

__all__ = ["Fault", "ReceivedRequest", "Sandbox"]

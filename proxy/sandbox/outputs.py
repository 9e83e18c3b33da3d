"""What a poll answers: the `output` and the `usage` of a task, by kind and state.

`usage` stands only beside SUCCEEDED: an unfinished or failed task is not charged
(protocol section 5).
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import TypeAlias

from proxy.sandbox.answers import Payload
from proxy.sandbox.ask import number_in
from proxy.sandbox.ledger import Kind, Ledger, Status, Task
from proxy.sandbox.prompts import PARTIAL, doom
from proxy.sandbox.usage import image_usage, video_usage

Link: TypeAlias = Callable[[str], str]
Finish: TypeAlias = Callable[[Task, Link], tuple[Payload, Payload]]

BEIJING = timezone(timedelta(hours=8))

MOST_ITEMS = 10
"""Result items of one task, whatever `n` asks for."""


def beijing(at: float) -> str:
    """Unix seconds as the service writes them: `YYYY-MM-DD hh:mm:ss.SSS`, Beijing, no zone."""
    local = datetime.fromtimestamp(at, UTC).astimezone(BEIJING)
    return f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 1000:03d}"


def unknown(task_id: str) -> Payload:
    """The answer for an id that was never given, has expired, or is another account's."""
    return {"output": {"task_id": task_id, "task_status": Status.UNKNOWN}}


def report(task: Task, ledger: Ledger, link: Link) -> Payload:
    """The answer to a poll."""
    status = ledger.status(task)
    output: Payload = {"task_id": task.id, "task_status": status}
    output["submit_time"] = beijing(task.submitted)
    if status is Status.PENDING:
        return {"output": output}
    output["scheduled_time"] = beijing(ledger.scheduled_at(task))
    if status is Status.RUNNING:
        return {"output": output}
    output["end_time"] = beijing(ledger.ended_at(task))
    return _ended(task, status, output, link)


def _ended(task: Task, status: Status, output: Payload, link: Link) -> Payload:
    if status is Status.FAILED and task.doom is not None:
        return {"output": output | {"code": task.doom.code, "message": task.doom.message}}
    if status is Status.CANCELED:
        return {"output": output}
    made, usage = FINISH[task.kind](task, link)
    return {"output": output | made, "usage": usage}


def _video(task: Task, link: Link) -> tuple[Payload, Payload]:
    made: Payload = {"orig_prompt": task.prompt, "video_url": link(f"{task.id}/video.mp4")}
    if task.parameters.get("prompt_extend"):
        made["actual_prompt"] = f"{task.prompt}, in more words"
    return made, video_usage(task.model, task.parameters, task.videos)


def _images(task: Task, link: Link) -> tuple[Payload, Payload]:
    items: list[Payload] = [
        {"orig_prompt": task.prompt, "url": link(f"{task.id}/{index}.png")}
        for index in range(item_count(task.parameters))
    ]
    if PARTIAL in task.prompt:
        items[-1] = {"code": "InternalError.Timeout", "message": "An internal timeout error."}
    good = sum("url" in item for item in items)
    metrics = {"TOTAL": len(items), "SUCCEEDED": good, "FAILED": len(items) - good}
    return {"results": items, "task_metrics": metrics}, {"image_count": good}


def _image_choices(task: Task, link: Link) -> tuple[Payload, Payload]:
    count = item_count(task.parameters)
    output = image_choices(count, lambda name: link(f"{task.id}/{name}"))
    return output, image_usage(task.model, task.parameters, count, task.images)


def image_choices(count: int, link: Link) -> Payload:
    """Images as newer models answer them: one choice each, an image part inside."""
    choices = [
        {
            "finish_reason": "stop",
            "message": {
                "role": "assistant",
                "content": [{"type": "image", "image": link(f"{index}.png")}],
            },
        }
        for index in range(count)
    ]
    return {"finished": True, "choices": choices}


def _transcription(task: Task, link: Link) -> tuple[Payload, Payload]:
    """`file_url` gives one `result`, `file_urls` a list in which each file fares alone."""
    if not isinstance(task.files, list):
        url = link(f"{task.id}/transcription.json")
        return {"result": {"transcription_url": url}}, {"duration": 1}
    items = [_subtask(task, index, url, link) for index, url in enumerate(task.files)]
    good = sum(item["subtask_status"] == Status.SUCCEEDED for item in items)
    metrics = {"TOTAL": len(items), "SUCCEEDED": good, "FAILED": len(items) - good}
    return {"results": items, "task_metrics": metrics}, {"duration": good}


def _subtask(task: Task, index: int, url: object, link: Link) -> Payload:
    failure = doom(url)
    if failure is not None:
        code, message = failure.code, failure.message
        status = Status.FAILED
        return {"file_url": url, "code": code, "message": message, "subtask_status": status}
    result = link(f"{task.id}/{index}.json")
    return {"file_url": url, "transcription_url": result, "subtask_status": Status.SUCCEEDED}


def _embeddings(task: Task, link: Link) -> tuple[Payload, Payload]:
    return {"url": link(f"{task.id}/embeddings.txt.gz")}, {"total_tokens": 16}


def _template(task: Task, _link: Link) -> tuple[Payload, Payload]:
    return {"template_id": f"AACT.{task.id}"}, {"video_duration": 5.2, "video_ratio": "standard"}


def _model_3d(task: Task, link: Link) -> tuple[Payload, Payload]:
    usage = {"3d_task_type": "text_to_3d", "count": 1, "texture_quality": "standard"}
    return {"results": [{"url": link(f"{task.id}/model.glb")}]}, usage


FINISH: dict[Kind, Finish] = {
    Kind.VIDEO: _video,
    Kind.IMAGES: _images,
    Kind.IMAGE_CHOICES: _image_choices,
    Kind.TRANSCRIPTION: _transcription,
    Kind.EMBEDDINGS: _embeddings,
    Kind.TEMPLATE: _template,
    Kind.MODEL_3D: _model_3d,
}


def item_count(parameters: Payload) -> int:
    """`parameters.n`, held within 1 and `MOST_ITEMS`."""
    return min(max(number_in(parameters, "n", 1), 1), MOST_ITEMS)

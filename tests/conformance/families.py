"""Each model family with its own input shape, on its own path (protocol section 8)."""

from collections.abc import Mapping
from typing import Any, TypeAlias

Body: TypeAlias = Mapping[str, Any]

AIGC = "services/aigc"
VIDEO = f"{AIGC}/video-generation/video-synthesis"
IMAGE_TO_VIDEO = f"{AIGC}/image2video/video-synthesis"
TEXT_TO_IMAGE = f"{AIGC}/text2image/image-synthesis"
IMAGE_TO_IMAGE = f"{AIGC}/image2image/image-synthesis"
IMAGE = f"{AIGC}/image-generation/generation"
MULTIMODAL = f"{AIGC}/multimodal-generation/generation"
TRANSCRIPTION = "services/audio/asr/transcription"
EMBEDDING = "services/embeddings/text-embedding/text-embedding"

AT = "https://example.com"
PICTURE = f"{AT}/1.png"
OTHER = f"{AT}/2.png"
CLIP = f"{AT}/1.mp4"
SOUND = f"{AT}/1.wav"
INLINE = "data:image/png;base64,iVBORw0KGgo="
SAID = [{"role": "user", "content": [{"text": "一只猫"}, {"image": PICTURE}]}]


def _media(**urls: str) -> list[Body]:
    return [{"type": kind, "url": url} for kind, url in urls.items()]


def _body(model: str, given: Body, **parameters: object) -> Body:
    return {"model": model, "input": given, "parameters": parameters}


CAT: Body = {"prompt": "a cat — 一只猫 🐈"}

TASKS: Mapping[str, tuple[str, Body]] = {
    "wan2.1 t2v": (VIDEO, _body("wanx2.1-t2v-turbo", CAT, size="1280*720", prompt_extend=True)),
    "wan2.2 t2v": (VIDEO, _body("wan2.2-t2v-plus", CAT, size="832*480", seed=1, watermark=False)),
    "wan2.5 t2v": (VIDEO, _body("wan2.5-t2v-preview", {**CAT, "audio_url": SOUND}, duration=10)),
    "wan2.6 t2v": (VIDEO, _body("wan2.6-t2v", CAT, duration=5, shot_type="multi")),
    "wan2.2 i2v": (VIDEO, _body("wan2.2-i2v-flash", {"img_url": PICTURE}, resolution="480P")),
    "wan2.6 i2v": (VIDEO, _body("wan2.6-i2v", {**CAT, "img_url": INLINE}, audio=True)),
    "wan2.6 r2v": (VIDEO, _body("wan2.6-r2v", {**CAT, "reference_urls": [CLIP]}, size="1280*720")),
    "wan2.1 vace": (
        VIDEO,
        _body(
            "wanx2.1-vace-plus",
            {**CAT, "function": "image_reference", "ref_images_url": [PICTURE, OTHER]},
            obj_or_bg=["obj", "bg"],
        ),
    ),
    "wan2.7 t2v": (VIDEO, _body("wan2.7-t2v-2026-06-12", CAT, resolution="720P", ratio="16:9")),
    "wan2.7 i2v": (
        VIDEO,
        _body("wan2.7-i2v", {"media": _media(first_frame=PICTURE, driving_audio=SOUND)}),
    ),
    "wan2.7 r2v": (
        VIDEO,
        _body(
            "wan2.7-r2v",
            {"media": [{"type": "reference_video", "url": CLIP, "reference_voice": SOUND}]},
        ),
    ),
    "wan2.7 videoedit": (
        VIDEO,
        _body("wan2.7-videoedit", {"media": _media(video=CLIP, reference_image=PICTURE)}),
    ),
    "wan3.0": (
        VIDEO,
        _body("wan3.0-video", {**CAT, "media": _media(link=CLIP, file=CLIP)}, duration=-1),
    ),
    "wan3.0 prime": (
        VIDEO,
        _body("wan3.0-video-prime", {"media": _media(first_frame=INLINE)}, ratio="adaptive"),
    ),
    "happyhorse": (VIDEO, _body("happyhorse-1.1-r2v", {"media": _media(reference_image=PICTURE)})),
    "kling": (
        VIDEO,
        _body(
            "kling/kling-v3-omni-video-generation",
            {
                "multi_prompt": [{"prompt": "a", "duration": 3}],
                "element_list": [{"element_id": 1}],
                "media": _media(refer=PICTURE, base=CLIP),
            },
            mode="pro",
            aspect_ratio="16:9",
            audio=False,
        ),
    ),
    "pixverse": (VIDEO, _body("pixverse/pixverse-v5.6-kf2v", {"media": _media(first_frame=OTHER)})),
    "pixverse lipsync": (
        VIDEO,
        _body("pixverse/pixverse-lipsync", {"media": _media(video=CLIP, driving_audio=SOUND)}),
    ),
    "pixverse motion": (
        VIDEO,
        _body("pixverse/pixverse-motioncontrol", {"media": _media(image_url=PICTURE, video=CLIP)}),
    ),
    "pixverse upscale": (
        VIDEO,
        _body("pixverse/pixverse-upscale", {"media": _media(video=CLIP)}, resolution="1080P"),
    ),
    "vidu": (VIDEO, _body("vidu/viduq3-pro_start-end2video", {"media": _media(image_url=OTHER)})),
    "MiniMax": (VIDEO, _body("MiniMax/MiniMax-H3", {**CAT, "media": []}, resolution="768P")),
    "style transform": (VIDEO, _body("video-style-transform", {"video_url": CLIP}, style=0)),
    "kf2v": (
        IMAGE_TO_VIDEO,
        _body("wan2.2-kf2v-flash", {"first_frame_url": PICTURE, "last_frame_url": OTHER}),
    ),
    "animate": (
        IMAGE_TO_VIDEO,
        _body("wan2.2-animate-mix", {"image_url": PICTURE, "video_url": CLIP}, mode="wan-pro"),
    ),
    "s2v": (IMAGE_TO_VIDEO, _body("wan2.2-s2v", {"image_url": PICTURE, "audio_url": SOUND})),
    "emo": (
        IMAGE_TO_VIDEO,
        _body("emo-v1", {"image_url": PICTURE, "audio_url": SOUND, "face_bbox": [1, 2, 3, 4]}),
    ),
    "emoji": (IMAGE_TO_VIDEO, _body("emoji-v1", {"image_url": PICTURE, "driven_id": "mengwa"})),
    "liveportrait": (
        f"{IMAGE_TO_VIDEO}/",
        _body("liveportrait", {"image_url": PICTURE, "audio_url": SOUND}, template_id="normal"),
    ),
    "videoretalk": (
        IMAGE_TO_VIDEO,
        _body("videoretalk", {"video_url": CLIP, "audio_url": SOUND, "ref_image_url": ""}),
    ),
    "animate anyone": (
        IMAGE_TO_VIDEO,
        _body("animate-anyone-gen2", {"image_url": PICTURE, "template_id": "AACT.x"}),
    ),
    "animate anyone template": (
        f"{AIGC}/image2video/aa-template-generation/",
        _body("animate-anyone-template-gen2", {"video_url": CLIP}),
    ),
    "3d": (f"{AIGC}/video-generation/3d-generation", _body("Tripo/tripo-v3", CAT)),
    "wan2.6 image": (IMAGE, _body("wan2.6-image", {"messages": SAID}, n=2, is_async=True)),
    "kling image": (IMAGE, _body("kling/kling-v3-image-generation", {"messages": SAID})),
    "style repaint": (
        IMAGE,
        _body("wanx-style-repaint-v1", {"image_url": PICTURE, "style_index": 3}),
    ),
    "wan2.2 t2i": (TEXT_TO_IMAGE, _body("wan2.2-t2i-flash", CAT, n=2, size="1024*1024")),
    "wanx-v1": (TEXT_TO_IMAGE, _body("wanx-v1", CAT, style="<auto>", ref_mode="repaint")),
    "flux": (TEXT_TO_IMAGE, _body("flux-schnell", CAT, size="1024*1024", steps=4)),
    "poster": (
        TEXT_TO_IMAGE,
        _body("wanx-poster-generation-v1", {"title": "t", "wh_ratios": "竖版"}),
    ),
    "imageedit": (
        IMAGE_TO_IMAGE,
        _body("wanx2.1-imageedit", {**CAT, "function": "colorization", "base_image_url": PICTURE}),
    ),
    "wan2.5 i2i": (f"{IMAGE_TO_IMAGE}/", _body("wan2.5-i2i-preview", {**CAT, "images": [OTHER]})),
    "qwen-mt-image": (
        IMAGE_TO_IMAGE,
        _body("qwen-mt-image", {"image_url": PICTURE, "source_lang": "en", "target_lang": "ja"}),
    ),
    "aitryon": (
        IMAGE_TO_IMAGE,
        _body("aitryon-plus", {"person_image_url": PICTURE, "top_garment_url": OTHER}),
    ),
    "out-painting": (
        f"{AIGC}/image2image/out-painting",
        _body("image-out-painting", {"image_url": PICTURE}, angle=45, x_scale=1.5),
    ),
    "background": (
        f"{AIGC}/background-generation/generation/",
        _body("wanx-background-generation-v2", {"base_image_url": PICTURE, "ref_prompt": "sea"}),
    ),
    "shoe model": (
        f"{AIGC}/virtualmodel/generation/",
        _body("shoemodel-v1", {"template_image_url": PICTURE, "shoe_image_url": [OTHER]}),
    ),
    "virtual model": (
        f"{AIGC}/virtualmodel/generation",
        _body("wanx-virtualmodel", {"base_image_url": PICTURE, "face_prompt": "a"}),
    ),
    "word texture": (
        f"{AIGC}/wordart/texture",
        _body("wordart-texture", {**CAT, "text": {"text_content": "字"}}, n=1),
    ),
    "word semantic": (f"{AIGC}/wordart/semantic", _body("wordart-semantic", {"text": "a"})),
    "transcription": (TRANSCRIPTION, _body("paraformer-v2", {"file_urls": [SOUND, SOUND]})),
    "fun-asr": (
        TRANSCRIPTION,
        _body("fun-asr", {"file_urls": [SOUND]}, diarization_enabled=True, channel_id=[0]),
    ),
    "file transcription": (
        TRANSCRIPTION,
        _body("qwen3-asr-flash-filetrans", {"file_url": SOUND}, enable_itn=False),
    ),
    "batch embedding": (
        EMBEDDING,
        _body("text-embedding-async-v2", {"url": f"{AT}/a.txt"}, text_type="document"),
    ),
}
"""What makes a task."""

CALLS: Mapping[str, tuple[str, Body]] = {
    "text messages": (
        f"{AIGC}/text-generation/generation",
        _body("qwen-plus", {"messages": SAID}, result_format="message", top_p=0.8, seed=1234),
    ),
    "vision": (MULTIMODAL, _body("qwen-vl-plus", {"messages": SAID})),
    "qwen-image": (MULTIMODAL, _body("qwen-image-plus", {"messages": SAID}, size="1328*1328")),
    "wan2.6 t2i at once": (MULTIMODAL, _body("wan2.6-t2i", {"messages": SAID}, n=1)),
    "wan2.7 image at once": (MULTIMODAL, _body("wan2.7-image-pro", {"messages": SAID}, n=4)),
    "z-image": (MULTIMODAL, _body("z-image-turbo", {"messages": SAID})),
    "TingWu": (f"{MULTIMODAL}/", _body("tingwu-meeting-offline", {"task": "createTask"})),
    "qwen-tts": (MULTIMODAL, _body("qwen3-tts-flash", {"text": "hi", "voice": "Cherry"})),
    "speech": (
        "services/audio/tts/SpeechSynthesizer",
        _body("cosyvoice-v3-plus", {"text": "hi", "voice": "v"}, format="wav"),
    ),
    "music": ("services/audio/music/generation", _body("fun-music", CAT)),
    "vocabulary": (
        "services/audio/asr/customization",
        {
            "model": "speech-biasing",
            "input": {
                "action": "create_vocabulary",
                "target_model": "paraformer-v2",
                "prefix": "mine",
                "vocabulary": [{"text": "城堡", "weight": 4}],
            },
        },
    ),
    "voice": (
        "services/audio/tts/customization",
        {
            "model": "qwen-voice-enrollment",
            "input": {
                "action": "create",
                "target_model": "qwen3-tts-vc-realtime",
                "preferred_name": "me",
                "audio": {"data": "data:audio/wav;base64,UklGRg=="},
            },
        },
    ),
    "face detection": (
        f"{AIGC}/image2video/face-detect",
        _body("emo-detect-v1", {"image_url": PICTURE}, ratio="1:1"),
    ),
    "person detection": (
        f"{AIGC}/image2video/aa-detect",
        _body("animate-anyone-detect-gen2", {"image_url": PICTURE}),
    ),
    "try-on parsing": (
        "services/vision/image-process/process",
        _body("aitryon-parsing-v1", {"image_url": PICTURE}, clothes_type=["upper"]),
    ),
    "embedding": (EMBEDDING, _body("text-embedding-v4", {"texts": ["a", "乙"]}, dimension=8)),
    "multimodal embedding": (
        "services/embeddings/multimodal-embedding/multimodal-embedding",
        _body("qwen3-vl-embedding", {"contents": [{"text": "a"}, {"image": INLINE}]}, dimension=8),
    ),
    "rerank": (
        "services/rerank/text-rerank/text-rerank",
        _body("qwen3-rerank", {"query": "cat", "documents": ["dog", "cat"]}, top_n=1),
    ),
    "code": (f"{AIGC}/code-generation/generation", _body("tongyi-lingma-v1", {"messages": SAID})),
    "understanding": (
        "services/nlp/nlu/understanding",
        _body("opennlu-v1", {"sentence": "a", "labels": "b", "task": "extraction"}),
    ),
    "tokenizer": ("tokenizer", _body("qwen-turbo", {"prompt": "a b"})),
    "understanding, as 1.x": ("nlp/nlu/understanding", _body("opennlu-v1", {"sentence": "a"})),
    "code, as 1.x": ("aigc/code-generation/generation", _body("tongyi-lingma-v1", CAT)),
}
"""What is answered at once."""

COMPATIBLE: Mapping[str, tuple[str, Body]] = {
    "rerank": (
        "/compatible-api/v1/reranks",
        {"model": "qwen3-rerank", "query": "cat", "documents": ["dog", "cat"], "top_n": 1},
    ),
    "decision": ("/compatible-mode/v1/systemone", {"model": "qwen-plus", "input": "hi"}),
}
"""What other protocols have that none of their clients knows, on absolute paths."""

# The fields of the models that have no class, for type checkers. Made by docs/catalogue.py.
import os
from typing import Any, Literal, NotRequired, TypedDict

class SunoV4Fields(TypedDict):
    model: Literal["suno-v4"]
    prompt: str
    callback_url: NotRequired[str]
    duration: NotRequired[int]
    model_params: NotRequired[dict[str, Any]]

class CohereTranscribeFields(TypedDict):
    model: Literal["cohere-transcribe"]
    audio_url: str | os.PathLike[str]
    language: NotRequired[str]
    max_new_tokens: NotRequired[int]
    punctuation: NotRequired[bool]

class Gemini31FlashTtsFields(TypedDict):
    model: Literal["gemini-3.1-flash-tts"]
    prompt: str
    output_format: NotRequired[Literal["mp3", "wav", "ogg_opus"]]
    language_code: NotRequired[Any]
    speakers: NotRequired[Any]
    style_instructions: NotRequired[Any]
    temperature: NotRequired[Any]
    voice: NotRequired[Any]

class Lyria3Fields(TypedDict):
    model: Literal["lyria-3", "lyria-3-pro"]
    prompt: str
    image_urls: NotRequired[list[str | os.PathLike[str]]]
    negative_prompt: NotRequired[Any]

class MinimaxMusicV26Fields(TypedDict):
    model: Literal["minimax-music-v2.6"]
    prompt: str
    audio_setting: NotRequired[Any]
    is_instrumental: NotRequired[Any]
    lyrics: NotRequired[Any]
    lyrics_optimizer: NotRequired[Any]

class MinimaxVoiceCloneFields(TypedDict):
    model: Literal["minimax-voice-clone", "voice-clone"]
    audio_url: str | os.PathLike[str]
    accuracy: NotRequired[Any]
    need_volume_normalization: NotRequired[bool]
    noise_reduction: NotRequired[bool]
    preview_model: NotRequired[Any]
    text: NotRequired[Any]
    preview_text: NotRequired[Any]

class ParaformerV2Fields(TypedDict):
    model: Literal["paraformer-v2"]
    file_urls: list[str | os.PathLike[str]]
    channel_id: NotRequired[Any]
    diarization: NotRequired[Any]
    language_hints: NotRequired[Any]
    recognition: NotRequired[Any]

class ScribeV2Fields(TypedDict):
    model: Literal["scribe-v2"]
    audio_url: str | os.PathLike[str]
    diarize: NotRequired[bool]
    keyterms: NotRequired[Any]
    language_code: NotRequired[Any]
    tag_audio_events: NotRequired[bool]

class Speech28HdFields(TypedDict):
    model: Literal["speech-2.8-hd", "speech-2.8-turbo"]
    prompt: str
    audio_setting: NotRequired[Any]
    language_boost: NotRequired[Any]
    pronunciation_dict: NotRequired[Any]
    voice_modify: NotRequired[Any]
    voice_setting: NotRequired[Any]

class Gemini31FlashImagePreviewDevFields(TypedDict):
    model: Literal["gemini-3.1-flash-image-preview-dev"]
    prompt: str
    aspect_ratio: NotRequired[Literal["1:1", "1:4", "1:8", "2:3", "3:2", "3:4", "4:1", "4:3", "4:5", "5:4", "8:1", "9:16", "16:9", "21:9", "match_input_image"]]
    resolution: NotRequired[Literal["0.5K", "1K", "2K", "4K"]]
    image_urls: NotRequired[list[str | os.PathLike[str]]]
    google_search: NotRequired[bool]
    image_search: NotRequired[bool]

class Gpt4oImageFields(TypedDict):
    model: Literal["gpt-4o-image", "gpt-image-1", "gpt-image-1.5", "gpt-image-1.5-lite", "nanobanana", "nanobanana-pro-beta", "nano-banana-2-lite", "nano-banana-2-beta", "qwen-image-edit", "qwen-image-edit-plus", "doubao-seedream-4.0", "doubao-seedream-4.5", "doubao-seedream-5.0-lite", "wan2.5-image-to-image", "wan2.5-text-to-image", "z-image-turbo"]
    prompt: str
    size: NotRequired[Literal["auto", "1:1", "1:4", "4:1", "1:8", "8:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"]]
    quality: NotRequired[Literal["0.5K", "1K", "2K", "4K"]]
    image_urls: NotRequired[list[str | os.PathLike[str]]]
    model_params: NotRequired[dict[str, Any]]
    callback_url: NotRequired[str]

class GptImage2Fields(TypedDict):
    model: Literal["gpt-image-2"]
    prompt: str
    num_outputs: NotRequired[int]
    resolution: NotRequired[Literal["1024x768", "768x1024", "1024x1024", "1536x1024", "1024x1536", "1920x1080", "1080x1920", "2560x1440", "1440x2560", "3840x2160", "2160x3840"] | dict[str, int]]
    quality: NotRequired[Literal["low", "medium", "high"]]
    output_format: NotRequired[Literal["png", "jpeg", "webp"]]
    background: NotRequired[Literal["auto", "opaque"]]
    mask_url: NotRequired[str | os.PathLike[str]]
    image_urls: NotRequired[list[str | os.PathLike[str]]]

class GptImage2LimitFields(TypedDict):
    model: Literal["gpt-image-2-limit"]
    prompt: str
    num_outputs: NotRequired[int]
    resolution: NotRequired[Literal["1024x1024", "1024x1536", "1536x1024"]]
    image_urls: NotRequired[list[str | os.PathLike[str]]]

class PatinaMaterialFields(TypedDict):
    model: Literal["patina-material"]
    prompt: str
    maps: list[Literal["basecolor", "normal", "roughness", "metalness", "height"]]
    image_size: NotRequired[int]
    image_url: NotRequired[str | os.PathLike[str]]
    mask_url: NotRequired[str | os.PathLike[str]]
    tiling_mode: NotRequired[Literal["none", "x", "y", "xy"]]
    upscale_factor: NotRequired[float]

class PatinaMaterialExtractFields(TypedDict):
    model: Literal["patina-material-extract"]
    image_url: str | os.PathLike[str]
    maps: list[Literal["basecolor", "normal", "roughness", "metalness", "height"]]
    mask_url: NotRequired[str | os.PathLike[str]]
    image_size: NotRequired[int]
    upscale_factor: NotRequired[float]

class PatinaPbrMapsFields(TypedDict):
    model: Literal["patina-pbr-maps"]
    image_url: str | os.PathLike[str]
    maps: list[Literal["basecolor", "normal", "roughness", "metalness", "height"]]
    image_size: NotRequired[int]

class PhotaCreateProfileFields(TypedDict):
    model: Literal["phota-create-profile"]
    image_archive_url: str | os.PathLike[str]

class PhotaImageFields(TypedDict):
    model: Literal["phota-image"]
    prompt: str
    num_outputs: NotRequired[int]
    resolution: NotRequired[Literal["1K", "4K"]]
    aspect_ratio: NotRequired[Literal["1:1", "2:3", "3:2", "3:4", "4:3", "9:16", "16:9"]]

class PhotaImageEditFields(TypedDict):
    model: Literal["phota-image-edit"]
    prompt: str
    image_urls: list[str | os.PathLike[str]]
    num_outputs: NotRequired[int]
    resolution: NotRequired[Literal["1K", "4K"]]
    profile_ids: NotRequired[list[Any]]

class PhotaImageEnhanceFields(TypedDict):
    model: Literal["phota-image-enhance"]
    image_url: str | os.PathLike[str]
    resolution: NotRequired[Literal["1K", "4K"]]
    creativity: NotRequired[float]
    resemblance: NotRequired[float]
    profile_ids: NotRequired[list[Any]]

class Wan27ImageFields(TypedDict):
    model: Literal["wan-2.7-image", "wan-2.7-image-pro"]
    prompt: str
    num_outputs: NotRequired[int]
    image_size: NotRequired[Literal["square_hd", "square", "portrait_4_3", "portrait_16_9", "landscape_4_3", "landscape_16_9"] | dict[str, int]]
    image_urls: NotRequired[list[str | os.PathLike[str]]]
    negative_prompt: NotRequired[str]
    seed: NotRequired[int]
    enable_safety_checker: NotRequired[bool]
    enable_prompt_expansion: NotRequired[bool]

class LlmAudioFields(TypedDict):
    model: str
    audio_url: str | os.PathLike[str]
    max_tokens: NotRequired[int]
    prompt: NotRequired[str]
    reasoning: NotRequired[bool]
    stream: NotRequired[bool]
    sync: NotRequired[bool]
    system_prompt: NotRequired[str]
    temperature: NotRequired[float]

class LlmCustomFields(TypedDict):
    model: str
    messages: list[Any]
    max_tokens: NotRequired[int]
    stop: NotRequired[Any]
    stream: NotRequired[bool]
    temperature: NotRequired[float]
    top_p: NotRequired[float]

class LlmTextFields(TypedDict):
    model: str
    prompt: str
    max_tokens: NotRequired[int]
    reasoning: NotRequired[bool]
    stream: NotRequired[bool]
    sync: NotRequired[bool]
    system_prompt: NotRequired[str]
    temperature: NotRequired[float]

class LlmVideoFields(TypedDict):
    model: str
    prompt: str
    video_urls: list[str | os.PathLike[str]]
    max_tokens: NotRequired[int]
    reasoning: NotRequired[bool]
    stream: NotRequired[bool]
    sync: NotRequired[bool]
    system_prompt: NotRequired[str]
    temperature: NotRequired[float]

class LlmVisionFields(TypedDict):
    model: str
    image_urls: list[str | os.PathLike[str]]
    prompt: str
    max_tokens: NotRequired[int]
    reasoning: NotRequired[bool]
    stream: NotRequired[bool]
    sync: NotRequired[bool]
    system_prompt: NotRequired[str]
    temperature: NotRequired[float]

class Doc2xV3Fields(TypedDict):
    model: Literal["doc2x-v3"]
    pdf_url: str | os.PathLike[str]
    page_count: int
    convert_mode: NotRequired[Literal["md", "tex", "docx"]]
    filename: NotRequired[Any]
    formula_mode: NotRequired[Literal["normal", "dollar"]]
    merge_cross_page_forms: NotRequired[bool]

class MiniMaxHailuo02Fields(TypedDict):
    model: Literal["MiniMax-Hailuo-02"]
    prompt: str
    callback_url: NotRequired[str]
    duration: NotRequired[int]
    image_url: NotRequired[str | os.PathLike[str]]
    model_params: NotRequired[dict[str, Any]]
    size: NotRequired[Literal["auto", "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"]]

class MiniMaxHailuo23Fields(TypedDict):
    model: Literal["MiniMax-Hailuo-2.3"]
    prompt: str
    callback_url: NotRequired[str]
    duration: NotRequired[int]
    image_url: NotRequired[str | os.PathLike[str]]
    model_params: NotRequired[dict[str, Any]]
    size: NotRequired[Literal["auto", "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"]]

class MiniMaxHailuo23FastFields(TypedDict):
    model: Literal["MiniMax-Hailuo-2.3-Fast"]
    prompt: str
    callback_url: NotRequired[str]
    duration: NotRequired[int]
    image_url: NotRequired[str | os.PathLike[str]]
    model_params: NotRequired[dict[str, Any]]
    size: NotRequired[Literal["auto", "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"]]

class CreatifyAuroraFields(TypedDict):
    model: Literal["creatify-aurora"]
    audio_url: str | os.PathLike[str]
    image_url: str | os.PathLike[str]
    audio_guidance_scale: NotRequired[Any]
    guidance_scale: NotRequired[Any]
    prompt: NotRequired[Any]
    resolution: NotRequired[Any]

class Fabric10Fields(TypedDict):
    model: Literal["fabric-1.0"]
    audio_url: str | os.PathLike[str]
    image_url: str | os.PathLike[str]
    resolution: str

class Fabric10TextFields(TypedDict):
    model: Literal["fabric-1.0-text"]
    image_url: str | os.PathLike[str]
    resolution: str
    text: str
    voice_description: NotRequired[Any]

class GrokImagineEditVideoFields(TypedDict):
    model: Literal["grok-imagine-edit-video"]
    prompt: str
    video_url: str | os.PathLike[str]
    resolution: NotRequired[Any]

class GrokImagineImageToVideoFields(TypedDict):
    model: Literal["grok-imagine-image-to-video"]
    image_url: str | os.PathLike[str]
    prompt: str
    aspect_ratio: NotRequired[Any]
    duration: NotRequired[Any]
    resolution: NotRequired[Any]

class GrokImagineReferenceToVideoFields(TypedDict):
    model: Literal["grok-imagine-reference-to-video"]
    prompt: str
    reference_image_urls: list[str | os.PathLike[str]]
    aspect_ratio: NotRequired[Any]
    duration: NotRequired[Any]
    resolution: NotRequired[Any]

class GrokImagineTextToVideoFields(TypedDict):
    model: Literal["grok-imagine-text-to-video"]
    prompt: str
    aspect_ratio: NotRequired[Any]
    duration: NotRequired[Any]
    resolution: NotRequired[Any]

class GrokImagineVideoExtensionFields(TypedDict):
    model: Literal["grok-imagine-video-extension"]
    prompt: str
    video_url: str | os.PathLike[str]
    duration: NotRequired[Any]

class Happyhorse10ImageToVideoFields(TypedDict):
    model: Literal["happyhorse-1.0-image-to-video"]
    image_url: str | os.PathLike[str]
    duration: NotRequired[int]
    enable_safety_checker: NotRequired[Any]
    prompt: NotRequired[Any]
    resolution: NotRequired[Literal["720p", "1080p"]]
    seed: NotRequired[Any]

class Happyhorse10ReferenceToVideoFields(TypedDict):
    model: Literal["happyhorse-1.0-reference-to-video"]
    image_urls: list[str | os.PathLike[str]]
    prompt: str
    aspect_ratio: NotRequired[Literal["16:9", "9:16", "1:1", "4:3", "3:4"]]
    duration: NotRequired[int]
    enable_safety_checker: NotRequired[Any]
    resolution: NotRequired[Literal["720p", "1080p"]]
    seed: NotRequired[Any]

class Happyhorse10TextToVideoFields(TypedDict):
    model: Literal["happyhorse-1.0-text-to-video"]
    prompt: str
    aspect_ratio: NotRequired[Literal["16:9", "9:16", "1:1", "4:3", "3:4"]]
    duration: NotRequired[int]
    enable_safety_checker: NotRequired[Any]
    resolution: NotRequired[Literal["720p", "1080p"]]
    seed: NotRequired[Any]

class Happyhorse10VideoEditFields(TypedDict):
    model: Literal["happyhorse-1.0-video-edit"]
    prompt: str
    video_url: str | os.PathLike[str]
    audio_setting: NotRequired[Literal["auto", "origin"]]
    enable_safety_checker: NotRequired[Any]
    reference_image_urls: NotRequired[list[str | os.PathLike[str]]]
    resolution: NotRequired[Literal["720p", "1080p"]]
    seed: NotRequired[Any]

class HeygenVideoAgentFields(TypedDict):
    model: Literal["heygen-video-agent"]
    prompt: str
    avatar_id: NotRequired[Any]
    file_urls: NotRequired[list[str | os.PathLike[str]]]
    incognito_mode: NotRequired[Any]
    orientation: NotRequired[Any]
    style_id: NotRequired[Any]
    voice_id: NotRequired[Any]

class KlingCustomElementFields(TypedDict):
    model: Literal["kling-custom-element"]
    prompt: str
    callback_url: NotRequired[str]
    duration: NotRequired[int]
    image_url: NotRequired[str | os.PathLike[str]]
    model_params: NotRequired[dict[str, Any]]
    size: NotRequired[Literal["auto", "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"]]

class KlingO1EditFields(TypedDict):
    model: Literal["kling-o1-edit"]
    prompt: str
    callback_url: NotRequired[str]
    duration: NotRequired[int]
    image_url: NotRequired[str | os.PathLike[str]]
    model_params: NotRequired[dict[str, Any]]
    size: NotRequired[Literal["auto", "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"]]

class KlingO1EditFastFields(TypedDict):
    model: Literal["kling-o1-edit-fast"]
    prompt: str
    callback_url: NotRequired[str]
    duration: NotRequired[int]
    image_url: NotRequired[str | os.PathLike[str]]
    model_params: NotRequired[dict[str, Any]]
    size: NotRequired[Literal["auto", "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"]]

class KlingO1I2vFields(TypedDict):
    model: Literal["kling-o1-i2v"]
    prompt: str
    callback_url: NotRequired[str]
    duration: NotRequired[int]
    image_url: NotRequired[str | os.PathLike[str]]
    model_params: NotRequired[dict[str, Any]]
    size: NotRequired[Literal["auto", "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"]]

class KlingO3EditFields(TypedDict):
    model: Literal["kling-o3-edit"]
    prompt: str
    callback_url: NotRequired[str]
    duration: NotRequired[int]
    image_url: NotRequired[str | os.PathLike[str]]
    model_params: NotRequired[dict[str, Any]]
    size: NotRequired[Literal["auto", "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"]]

class KlingO3ImageToVideoFields(TypedDict):
    model: Literal["kling-o3-image-to-video"]
    image_url: str | os.PathLike[str]
    duration: NotRequired[Any]
    end_image_url: NotRequired[str | os.PathLike[str]]
    generate_audio: NotRequired[bool]
    multi_prompt: NotRequired[Any]
    prompt: NotRequired[Any]
    resolution: NotRequired[str]
    shot_type: NotRequired[Any]

class KlingO3ReferenceToVideoFields(TypedDict):
    model: Literal["kling-o3-reference-to-video"]
    aspect_ratio: NotRequired[Any]
    duration: NotRequired[Any]
    elements: NotRequired[Any]
    end_image_url: NotRequired[str | os.PathLike[str]]
    generate_audio: NotRequired[bool]
    image_urls: NotRequired[list[str | os.PathLike[str]]]
    multi_prompt: NotRequired[Any]
    prompt: NotRequired[Any]
    resolution: NotRequired[str]
    shot_type: NotRequired[Any]
    start_image_url: NotRequired[str | os.PathLike[str]]

class KlingO3TextToVideoFields(TypedDict):
    model: Literal["kling-o3-text-to-video"]
    aspect_ratio: NotRequired[str]
    duration: NotRequired[Any]
    generate_audio: NotRequired[bool]
    multi_prompt: NotRequired[Any]
    prompt: NotRequired[Any]
    resolution: NotRequired[str]
    shot_type: NotRequired[Any]

class KlingO3VideoToVideoEditFields(TypedDict):
    model: Literal["kling-o3-video-to-video-edit"]
    prompt: str
    video_url: str | os.PathLike[str]
    elements: NotRequired[Any]
    image_urls: NotRequired[list[str | os.PathLike[str]]]
    keep_audio: NotRequired[bool]
    resolution: NotRequired[str]

class KlingO3VideoToVideoReferenceFields(TypedDict):
    model: Literal["kling-o3-video-to-video-reference"]
    prompt: str
    video_url: str | os.PathLike[str]
    aspect_ratio: NotRequired[Any]
    duration: NotRequired[Any]
    elements: NotRequired[Any]
    image_urls: NotRequired[list[str | os.PathLike[str]]]
    keep_audio: NotRequired[bool]
    resolution: NotRequired[str]

class KlingV26VideoFields(TypedDict):
    model: Literal["kling-v2-6-video"]
    prompt: str
    aspect_ratio: NotRequired[str]
    duration: NotRequired[int]
    generate_audio: NotRequired[bool]
    image_url: NotRequired[str | os.PathLike[str]]

class KlingV3ImageToVideoFields(TypedDict):
    model: Literal["kling-v3-image-to-video"]
    image_url: str | os.PathLike[str]
    prompt: str
    duration: NotRequired[int]
    generate_audio: NotRequired[bool]
    image_tail_url: NotRequired[str | os.PathLike[str]]
    multi_prompt: NotRequired[Any]
    negative_prompt: NotRequired[str]
    resolution: NotRequired[str]
    voice_ids: NotRequired[Any]

class KlingV3MotionControlFields(TypedDict):
    model: Literal["kling-v3-motion-control"]
    image_url: str | os.PathLike[str]
    video_url: str | os.PathLike[str]
    character_orientation: NotRequired[str]
    keep_original_sound: NotRequired[str]
    mode: NotRequired[str]
    prompt: NotRequired[str]

class KlingV3TextToVideoFields(TypedDict):
    model: Literal["kling-v3-text-to-video"]
    prompt: str
    aspect_ratio: NotRequired[str]
    duration: NotRequired[int]
    generate_audio: NotRequired[bool]
    multi_prompt: NotRequired[Any]
    negative_prompt: NotRequired[str]
    resolution: NotRequired[str]
    voice_ids: NotRequired[Any]

class KlingVideoCreateVoiceFields(TypedDict):
    model: Literal["kling-video-create-voice"]
    voice_url: str | os.PathLike[str]

class Lipsync2Fields(TypedDict):
    model: Literal["lipsync-2"]
    audio_url: str | os.PathLike[str]
    video_url: str | os.PathLike[str]
    active_speaker: NotRequired[Any]
    sync_mode: NotRequired[str]
    temperature: NotRequired[Any]

class LiveAvatarFields(TypedDict):
    model: Literal["live-avatar"]
    audio_url: str | os.PathLike[str]
    image_url: str | os.PathLike[str]
    prompt: str
    acceleration: NotRequired[Any]
    enable_safety_checker: NotRequired[Any]
    frames_per_clip: NotRequired[Any]
    guidance_scale: NotRequired[Any]
    num_clips: NotRequired[Any]
    seed: NotRequired[Any]

class Omnihuman15Fields(TypedDict):
    model: Literal["omnihuman-1.5"]
    audio_url: str | os.PathLike[str]
    image_url: str | os.PathLike[str]
    advanced: NotRequired[Any]
    prompt: NotRequired[Any]
    turbo_mode: NotRequired[Any]

class PixverseC1ImageToVideoFields(TypedDict):
    model: Literal["pixverse-c1-image-to-video"]
    image_url: str | os.PathLike[str]
    prompt: str
    duration: NotRequired[int]
    generate_audio: NotRequired[bool]
    negative_prompt: NotRequired[Any]
    resolution: NotRequired[str]
    seed: NotRequired[Any]

class PixverseC1ReferenceToVideoFields(TypedDict):
    model: Literal["pixverse-c1-reference-to-video"]
    prompt: str
    references: list[Any]
    duration: NotRequired[int]
    generate_audio: NotRequired[bool]
    negative_prompt: NotRequired[Any]
    resolution: NotRequired[str]
    seed: NotRequired[Any]

class PixverseC1TextToVideoFields(TypedDict):
    model: Literal["pixverse-c1-text-to-video"]
    prompt: str
    aspect_ratio: NotRequired[str]
    duration: NotRequired[int]
    generate_audio: NotRequired[bool]
    negative_prompt: NotRequired[Any]
    resolution: NotRequired[str]
    seed: NotRequired[Any]

class PixverseC1TransitionFields(TypedDict):
    model: Literal["pixverse-c1-transition"]
    image_url: str | os.PathLike[str]
    prompt: str
    aspect_ratio: NotRequired[str]
    duration: NotRequired[int]
    generate_audio: NotRequired[bool]
    image_tail_url: NotRequired[str | os.PathLike[str]]
    negative_prompt: NotRequired[Any]
    resolution: NotRequired[str]
    seed: NotRequired[Any]

class PixverseV6ExtendFields(TypedDict):
    model: Literal["pixverse-v6-extend"]
    prompt: str
    video_url: str | os.PathLike[str]
    duration: NotRequired[int]
    generate_audio: NotRequired[bool]
    negative_prompt: NotRequired[Any]
    resolution: NotRequired[str]
    seed: NotRequired[Any]
    style: NotRequired[Any]

class PixverseV6ImageToVideoFields(TypedDict):
    model: Literal["pixverse-v6-image-to-video"]
    image_url: str | os.PathLike[str]
    prompt: str
    duration: NotRequired[int]
    generate_audio: NotRequired[bool]
    generate_multi_clip: NotRequired[Any]
    negative_prompt: NotRequired[Any]
    resolution: NotRequired[str]
    seed: NotRequired[Any]
    style: NotRequired[Any]
    thinking_type: NotRequired[Any]

class PixverseV6TextToVideoFields(TypedDict):
    model: Literal["pixverse-v6-text-to-video"]
    prompt: str
    aspect_ratio: NotRequired[str]
    duration: NotRequired[int]
    generate_audio: NotRequired[bool]
    generate_multi_clip: NotRequired[Any]
    negative_prompt: NotRequired[Any]
    resolution: NotRequired[str]
    seed: NotRequired[Any]
    style: NotRequired[Any]
    thinking_type: NotRequired[Any]

class PixverseV6TransitionFields(TypedDict):
    model: Literal["pixverse-v6-transition"]
    image_url: str | os.PathLike[str]
    prompt: str
    aspect_ratio: NotRequired[str]
    duration: NotRequired[int]
    generate_audio: NotRequired[bool]
    generate_multi_clip: NotRequired[Any]
    image_tail_url: NotRequired[str | os.PathLike[str]]
    negative_prompt: NotRequired[Any]
    resolution: NotRequired[str]
    seed: NotRequired[Any]
    style: NotRequired[Any]
    thinking_type: NotRequired[Any]

class Seedance10ProFastFields(TypedDict):
    model: Literal["seedance-1.0-pro-fast"]
    prompt: str
    callback_url: NotRequired[str]
    duration: NotRequired[int]
    image_url: NotRequired[str | os.PathLike[str]]
    model_params: NotRequired[dict[str, Any]]
    size: NotRequired[Literal["auto", "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"]]

class Seedance15ProFields(TypedDict):
    model: Literal["seedance-1.5-pro"]
    prompt: str
    callback_url: NotRequired[str]
    duration: NotRequired[int]
    image_url: NotRequired[str | os.PathLike[str]]
    model_params: NotRequired[dict[str, Any]]
    size: NotRequired[Literal["auto", "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"]]

class Seedance20ImageToVideoFields(TypedDict):
    model: Literal["seedance-2.0-image-to-video"]
    image_url: str | os.PathLike[str]
    prompt: str
    aspect_ratio: NotRequired[str]
    duration: NotRequired[int]
    end_image_url: NotRequired[str | os.PathLike[str]]
    generate_audio: NotRequired[bool]
    resolution: NotRequired[str]
    seed: NotRequired[int]

class Seedance20ReferenceToVideoFields(TypedDict):
    model: Literal["seedance-2.0-reference-to-video"]
    prompt: str
    aspect_ratio: NotRequired[str]
    audio_urls: NotRequired[list[str | os.PathLike[str]]]
    duration: NotRequired[int]
    generate_audio: NotRequired[bool]
    image_urls: NotRequired[list[str | os.PathLike[str]]]
    resolution: NotRequired[str]
    seed: NotRequired[int]
    video_urls: NotRequired[list[str | os.PathLike[str]]]

class Seedance20TextToVideoFields(TypedDict):
    model: Literal["seedance-2.0-text-to-video"]
    prompt: str
    aspect_ratio: NotRequired[str]
    duration: NotRequired[int]
    generate_audio: NotRequired[bool]
    resolution: NotRequired[str]
    seed: NotRequired[int]

class Sora2Fields(TypedDict):
    model: Literal["sora-2"]
    prompt: str
    duration: NotRequired[int]
    character_ids: NotRequired[list[Any]]
    aspect_ratio: NotRequired[str]
    delete_video: NotRequired[bool]
    image_urls: NotRequired[list[str | os.PathLike[str]]]
    resolution: NotRequired[Literal["720p", "1080p"]]

class Sora2BetaMaxFields(TypedDict):
    model: Literal["sora-2-beta-max"]
    prompt: str
    callback_url: NotRequired[str]
    duration: NotRequired[int]
    image_url: NotRequired[str | os.PathLike[str]]
    model_params: NotRequired[dict[str, Any]]
    size: NotRequired[Literal["auto", "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"]]

class Sora2CharacterFields(TypedDict):
    model: Literal["sora-2-character"]
    video_url: str | os.PathLike[str]
    name: str

class Sora2ProFields(TypedDict):
    model: Literal["sora-2-pro"]
    prompt: str
    callback_url: NotRequired[str]
    duration: NotRequired[int]
    image_url: NotRequired[str | os.PathLike[str]]
    model_params: NotRequired[dict[str, Any]]
    size: NotRequired[Literal["auto", "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"]]

class Sora2ProRemixFields(TypedDict):
    model: Literal["sora-2-pro-remix"]
    prompt: str
    video_id: str
    delete_video: NotRequired[bool]
    resolution: NotRequired[str]

class TopazUpscaleVideoFields(TypedDict):
    model: Literal["topaz-upscale-video"]
    video_url: str | os.PathLike[str]
    compression: NotRequired[Any]
    enhancement_model: NotRequired[Literal["Proteus", "Artemis HQ", "Artemis MQ", "Artemis LQ", "Nyx", "Nyx Fast", "Nyx XL", "Nyx HF", "Gaia HQ", "Gaia CG", "Gaia 2", "Starlight Precise 1", "Starlight Precise 2", "Starlight Precise 2.5", "Starlight HQ", "Starlight Mini", "Starlight Sharp", "Starlight Fast 1", "Starlight Fast 2"]]
    grain: NotRequired[Any]
    h264_output: NotRequired[bool]
    halo: NotRequired[Any]
    noise: NotRequired[Any]
    recover_detail: NotRequired[Any]
    target_fps: NotRequired[Any]
    upscale_factor: NotRequired[float]

class VeedSubtitlesFields(TypedDict):
    model: Literal["veed-subtitles"]
    preset: Literal["glass", "whisper", "glide2", "fusion", "glide", "terminal", "handwritten", "backdrop", "backdrop2", "simple", "plain", "beans", "corpo", "boo", "shadeplay", "casper", "capri", "lowkey", "vinta", "diego", "ali", "slay", "kitty", "hustle", "karl", "sprout", "flex", "mint", "rizz", "vegas"]
    video_url: str | os.PathLike[str]
    customization: NotRequired[Any]
    language: NotRequired[Any]
    srt_content: NotRequired[Any]
    srt_file_url: NotRequired[str | os.PathLike[str]]
    translation_language: NotRequired[Any]
    vocabulary: NotRequired[Any]

class Veo31Fields(TypedDict):
    model: Literal["veo-3.1"]
    prompt: str
    aspect_ratio: NotRequired[str]
    auto_fix: NotRequired[Any]
    duration: NotRequired[int]
    enhance_prompt: NotRequired[Any]
    generate_audio: NotRequired[bool]
    generation_type: NotRequired[str]
    image_urls: NotRequired[list[str | os.PathLike[str]]]
    negative_prompt: NotRequired[Any]
    person_generation: NotRequired[Any]
    reference_type: NotRequired[Any]
    resolution: NotRequired[str]
    safety_tolerance: NotRequired[Any]
    seed: NotRequired[Any]

class Veo31ExtendFields(TypedDict):
    model: Literal["veo-3.1-extend"]
    prompt: str
    video_url: str | os.PathLike[str]
    aspect_ratio: NotRequired[str]
    auto_fix: NotRequired[Any]
    generate_audio: NotRequired[bool]
    negative_prompt: NotRequired[Any]
    safety_tolerance: NotRequired[Any]
    seed: NotRequired[Any]

class Veo31FirstLastFrameToVideoFields(TypedDict):
    model: Literal["veo-3.1-first-last-frame-to-video"]
    first_image_url: str | os.PathLike[str]
    last_image_url: str | os.PathLike[str]
    prompt: str
    aspect_ratio: NotRequired[str]
    auto_fix: NotRequired[Any]
    duration: NotRequired[int]
    enhance_prompt: NotRequired[Any]
    generate_audio: NotRequired[bool]
    negative_prompt: NotRequired[Any]
    person_generation: NotRequired[Any]
    resolution: NotRequired[str]
    safety_tolerance: NotRequired[Any]
    seed: NotRequired[Any]

class Veo31ImageToVideoFields(TypedDict):
    model: Literal["veo-3.1-image-to-video"]
    image_url: str | os.PathLike[str]
    prompt: str
    aspect_ratio: NotRequired[str]
    auto_fix: NotRequired[Any]
    duration: NotRequired[int]
    enhance_prompt: NotRequired[Any]
    generate_audio: NotRequired[bool]
    negative_prompt: NotRequired[Any]
    person_generation: NotRequired[Any]
    resolution: NotRequired[str]
    safety_tolerance: NotRequired[Any]
    seed: NotRequired[Any]

class Veo31ReferenceToVideoFields(TypedDict):
    model: Literal["veo-3.1-reference-to-video"]
    prompt: str
    reference_image_urls: list[str | os.PathLike[str]]
    aspect_ratio: NotRequired[str]
    auto_fix: NotRequired[Any]
    duration: NotRequired[int]
    enhance_prompt: NotRequired[Any]
    generate_audio: NotRequired[bool]
    person_generation: NotRequired[Any]
    reference_type: NotRequired[Any]
    resolution: NotRequired[str]
    safety_tolerance: NotRequired[Any]

class Veo31TextToVideoFields(TypedDict):
    model: Literal["veo-3.1-text-to-video"]
    prompt: str
    aspect_ratio: NotRequired[str]
    auto_fix: NotRequired[Any]
    duration: NotRequired[int]
    enhance_prompt: NotRequired[Any]
    generate_audio: NotRequired[bool]
    negative_prompt: NotRequired[Any]
    person_generation: NotRequired[Any]
    resolution: NotRequired[str]
    safety_tolerance: NotRequired[Any]
    seed: NotRequired[Any]

class Veo31FastLiteFields(TypedDict):
    model: Literal["veo3.1-fast-lite"]
    prompt: str
    callback_url: NotRequired[str]
    duration: NotRequired[int]
    image_url: NotRequired[str | os.PathLike[str]]
    model_params: NotRequired[dict[str, Any]]
    size: NotRequired[Literal["auto", "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"]]

class Veo31ProLiteFields(TypedDict):
    model: Literal["veo3.1-pro-lite"]
    prompt: str
    callback_url: NotRequired[str]
    duration: NotRequired[int]
    image_url: NotRequired[str | os.PathLike[str]]
    model_params: NotRequired[dict[str, Any]]
    size: NotRequired[Literal["auto", "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"]]

class ViduQ3ImageToVideoFields(TypedDict):
    model: Literal["vidu-q3-image-to-video"]
    image_url: str | os.PathLike[str]
    duration: NotRequired[int]
    end_image_url: NotRequired[str | os.PathLike[str]]
    generate_audio: NotRequired[bool]
    prompt: NotRequired[Any]
    resolution: NotRequired[Any]
    seed: NotRequired[Any]

class ViduQ3ReferenceToVideoFields(TypedDict):
    model: Literal["vidu-q3-reference-to-video"]
    prompt: str
    reference_image_urls: list[str | os.PathLike[str]]
    aspect_ratio: NotRequired[Any]
    duration: NotRequired[int]
    generate_audio: NotRequired[bool]
    resolution: NotRequired[Any]
    seed: NotRequired[Any]

class ViduQ3TextToVideoFields(TypedDict):
    model: Literal["vidu-q3-text-to-video"]
    prompt: str
    aspect_ratio: NotRequired[Any]
    duration: NotRequired[int]
    generate_audio: NotRequired[bool]
    resolution: NotRequired[Any]
    seed: NotRequired[Any]

class ViduQ3TurboImageToVideoFields(TypedDict):
    model: Literal["vidu-q3-turbo-image-to-video"]
    image_url: str | os.PathLike[str]
    duration: NotRequired[int]
    end_image_url: NotRequired[str | os.PathLike[str]]
    generate_audio: NotRequired[bool]
    prompt: NotRequired[Any]
    resolution: NotRequired[Any]
    seed: NotRequired[Any]

class ViduQ3TurboTextToVideoFields(TypedDict):
    model: Literal["vidu-q3-turbo-text-to-video"]
    prompt: str
    aspect_ratio: NotRequired[Any]
    duration: NotRequired[int]
    generate_audio: NotRequired[bool]
    resolution: NotRequired[Any]
    seed: NotRequired[Any]

class Wan27ImageToVideoFields(TypedDict):
    model: Literal["wan-2.7-image-to-video"]
    audio_url: NotRequired[str | os.PathLike[str]]
    duration: NotRequired[int]
    enable_prompt_expansion: NotRequired[Any]
    enable_safety_checker: NotRequired[Any]
    generation_type: NotRequired[Any]
    image_urls: NotRequired[list[str | os.PathLike[str]]]
    negative_prompt: NotRequired[Any]
    prompt: NotRequired[Any]
    resolution: NotRequired[Literal["720p", "1080p"]]
    seed: NotRequired[Any]
    video_url: NotRequired[str | os.PathLike[str]]

class Wan27ReferenceToVideoFields(TypedDict):
    model: Literal["wan-2.7-reference-to-video"]
    prompt: str
    aspect_ratio: NotRequired[Literal["16:9", "9:16", "1:1", "4:3", "3:4"]]
    duration: NotRequired[int]
    enable_safety_checker: NotRequired[Any]
    multi_shots: NotRequired[Any]
    negative_prompt: NotRequired[Any]
    reference_image_urls: NotRequired[list[str | os.PathLike[str]]]
    reference_video_urls: NotRequired[list[str | os.PathLike[str]]]
    resolution: NotRequired[Literal["720p", "1080p"]]
    seed: NotRequired[Any]

class Wan27TextToVideoFields(TypedDict):
    model: Literal["wan-2.7-text-to-video"]
    prompt: str
    aspect_ratio: NotRequired[Literal["16:9", "9:16", "1:1", "4:3", "3:4"]]
    audio_url: NotRequired[str | os.PathLike[str]]
    duration: NotRequired[int]
    enable_prompt_expansion: NotRequired[Any]
    enable_safety_checker: NotRequired[Any]
    negative_prompt: NotRequired[Any]
    resolution: NotRequired[Literal["720p", "1080p"]]
    seed: NotRequired[Any]

class Wan27VideoEditFields(TypedDict):
    model: Literal["wan-2.7-video-edit"]
    prompt: str
    video_url: str | os.PathLike[str]
    aspect_ratio: NotRequired[Any]
    audio_setting: NotRequired[Literal["auto", "origin"]]
    duration: NotRequired[int]
    enable_safety_checker: NotRequired[Any]
    reference_image_url: NotRequired[str | os.PathLike[str]]
    resolution: NotRequired[Literal["720p", "1080p"]]
    seed: NotRequired[Any]

class Wan25I2vFields(TypedDict):
    model: Literal["wan2.5-i2v"]
    prompt: str
    callback_url: NotRequired[str]
    duration: NotRequired[int]
    image_url: NotRequired[str | os.PathLike[str]]
    model_params: NotRequired[dict[str, Any]]
    size: NotRequired[Literal["auto", "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"]]

class Wan25T2vFields(TypedDict):
    model: Literal["wan2.5-t2v"]
    prompt: str
    callback_url: NotRequired[str]
    duration: NotRequired[int]
    image_url: NotRequired[str | os.PathLike[str]]
    model_params: NotRequired[dict[str, Any]]
    size: NotRequired[Literal["auto", "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"]]

class Wan26I2vFields(TypedDict):
    model: Literal["wan2.6-i2v"]
    prompt: str
    callback_url: NotRequired[str]
    duration: NotRequired[int]
    image_url: NotRequired[str | os.PathLike[str]]
    model_params: NotRequired[dict[str, Any]]
    size: NotRequired[Literal["auto", "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"]]

class Wan26I2vFlashFields(TypedDict):
    model: Literal["wan2.6-i2v-flash"]
    prompt: str
    callback_url: NotRequired[str]
    duration: NotRequired[int]
    image_url: NotRequired[str | os.PathLike[str]]
    model_params: NotRequired[dict[str, Any]]
    size: NotRequired[Literal["auto", "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"]]

class Wan26RefFields(TypedDict):
    model: Literal["wan2.6-ref"]
    prompt: str
    callback_url: NotRequired[str]
    duration: NotRequired[int]
    image_url: NotRequired[str | os.PathLike[str]]
    model_params: NotRequired[dict[str, Any]]
    size: NotRequired[Literal["auto", "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"]]

class Wan26RefFlashFields(TypedDict):
    model: Literal["wan2.6-ref-flash"]
    prompt: str
    callback_url: NotRequired[str]
    duration: NotRequired[int]
    image_url: NotRequired[str | os.PathLike[str]]
    model_params: NotRequired[dict[str, Any]]
    size: NotRequired[Literal["auto", "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"]]

class Wan26T2vFields(TypedDict):
    model: Literal["wan2.6-t2v"]
    prompt: str
    callback_url: NotRequired[str]
    duration: NotRequired[int]
    image_url: NotRequired[str | os.PathLike[str]]
    model_params: NotRequired[dict[str, Any]]
    size: NotRequired[Literal["auto", "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"]]

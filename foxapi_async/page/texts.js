// All texts of the page, each in English and in Chinese, and the language of this browser.
// `singular|plural` is chosen by {count}.
import { HELP, NAMES } from "/names.js";

export const TEXTS = {
  title: ["FoxAPI playground", "FoxAPI 试验台"],
  skip: ["Skip to the results", "跳到结果"],
  "link.lost": ["No connection to the server; trying again.", "与服务器的连接已断开，正在重试。"],
  "badge.emulator": ["Emulator: nothing is billed", "模拟器：不计费"],
  "badge.live": ["Live: costs credits", "真实服务：消耗积分"],
  "spent.live": ["Spent in this folder: {credits}", "此文件夹已消耗：{credits}"],
  "spent.emulator": ["Counted in this folder: {credits}", "此文件夹累计：{credits}"],
  "spent.unpriced": ["(and {count} request at an unknown price)|(and {count} requests at an unknown price)", "（另有 {count} 个请求价格未知）"],
  credits: ["{amount} credit|{amount} credits", "{amount} 积分"],
  results: ["{count} result|{count} results", "{count} 个结果"],

  "form.label": ["New request", "新请求"],
  "form.unknown": ["{model} is not a known model.", "未知模型：{model}。"],
  "model.label": ["Model", "模型"],
  "compare.open": ["Compare with other models", "与其他模型对比"],
  "compare.list": ["Compared with", "对比模型"],
  "compare.remove": ["Do not compare with {model}", "不再与 {model} 对比"],
  "prompt.label": ["Prompt", "提示词"],
  "prompt.placeholder": ["A red fox in fresh snow, morning light", "晨光中，一只红狐站在新雪里"],
  "prompt.hint": ["Ctrl + Enter sends it.", "按 Ctrl + Enter 发送。"],
  more: ["More options", "更多选项"],
  unsure: ["Some facts about this model are not sure. The page shows here what may be wrong, and still sends it.", "此模型的部分信息尚未确认。可能有误的内容会在这里提示，但仍会照常发送。"],
  doubts: ["This may be wrong:", "以下内容可能有误："],
  send: ["Generate", "生成"],
  "send.busy": ["Storing the files…", "正在上传文件…"],
  sent: ["Sent. It comes first in the results.|{count} requests are sent. They come first in the results.", "已发送，将显示在结果最前面。|已发送 {count} 个请求，将显示在结果最前面。"],
  "problem.field": ["“{field}”", "“{field}”"],
  "problem.missing": ["{field} is missing.", "缺少{field}。"],
  "problem.not_allowed": ["{field} {value} is not possible. Allowed: {allowed}.", "{field}不能为 {value}。可用：{allowed}。"],
  "problem.too_long": ["{field} has {length} characters. At most {maximum} are allowed.", "{field}有 {length} 个字符，最多 {maximum} 个。"],
  "problem.wrong_count": ["{field}: {count} are given. Allowed: {allowed}.", "{field}给了 {count} 个。可用：{allowed}。"],
  "problem.not_a_list": ["{field} {value} must be in a list.", "{field} {value} 必须放在列表中。"],
  "problem.not_a_url": ["{field} {value} is not the address of a file.", "{field} {value} 不是文件地址。"],
  "problem.not_utf8": ["{field} {value} has a character that cannot be sent.", "{field} {value} 含有无法发送的字符。"],
  "problem.excluded": ["{field} and {other} cannot be given together.", "{field}和{other}不能同时使用。"],
  "problem.needs": ["{field} {value} needs {other}.", "{field}为 {value} 时需要{other}。"],
  "problem.at_most": ["{field} {value}: at most {maximum} are allowed with {other}.", "{field}为 {value}：与{other}同用时最多 {maximum}。"],
  "problem.unknown_field": ["{model} has no field {name}.", "{model} 没有字段 {name}。"],
  "problem.unknown_model": ["There is no model {value} here.", "此处没有模型 {value}。"],
  "allowed.text": ["texts that are not blank", "非空文本"],
  "allowed.text.to": ["texts up to {maximum} characters that are not blank", "不超过 {maximum} 个字符的非空文本"],
  "allowed.integer": ["whole numbers", "整数"],
  "allowed.integer.from": ["whole numbers from {minimum}", "不小于 {minimum} 的整数"],
  "allowed.integer.from.to": ["whole numbers from {minimum} to {maximum}", "{minimum} 到 {maximum} 的整数"],
  "allowed.number": ["numbers", "数字"],
  "allowed.number.from.to": ["numbers from {minimum} to {maximum}", "{minimum} 到 {maximum} 的数字"],
  "allowed.flag": ["true or false", "true 或 false"],
  "allowed.size": ["a width and a height in pixels", "以像素表示的宽和高"],
  "allowed.size.rule": ["a width and a height in pixels (multiples of {multiple} from {least} to {most}, at most {longest}:1, {fewest} to {largest} in all)", "以像素表示的宽和高（{least} 到 {most} 之间 {multiple} 的倍数，宽高比不超过 {longest}:1，总像素 {fewest} 到 {largest}）"],
  "allowed.list": ["lists that are not empty", "非空列表"],
  "allowed.list.to": ["lists of 1 to {maximum} items", "1 到 {maximum} 项的列表"],
  "allowed.object": ["objects with named values", "带有命名值的对象"],
  "allowed.any": ["any value", "任意值"],
  "allowed.file": ["the address of a file", "文件地址"],
  "allowed.images": ["1 or more images", "至少 1 张图片"],
  "allowed.images.to": ["1 to {maximum} images", "1 到 {maximum} 张图片"],
  "allowed.files": ["1 or more files", "至少 1 个文件"],
  "allowed.files.to": ["1 to {maximum} files", "1 到 {maximum} 个文件"],
  "problems.close": ["Close this message", "关闭此消息"],
  "field.required": ["required", "必填"],
  "field.missing": ["{model} needs “{field}”.", "{model} 需要填写“{field}”。"],
  "field.default": ["Default", "默认"],
  "field.default.is": ["Default ({value})", "默认（{value}）"],
  "field.yes": ["Yes", "是"],
  "field.no": ["No", "否"],
  "field.json": ["A JSON value.", "JSON 值。"],
  "field.lines": ["One in each line.", "每行一项。"],
  "field.range": ["From {minimum} to {maximum}.", "范围 {minimum} 到 {maximum}。"],
  "field.size.own": ["Own size…", "自定义尺寸…"],
  "field.size.width": ["Width", "宽"],
  "field.size.height": ["Height", "高"],

  "input.images": ["Choose images", "选择图片"],
  "input.image": ["Choose an image", "选择一张图片"],
  "input.file": ["Choose a file", "选择文件"],
  "input.drop": ["or drop or paste here", "或拖放、粘贴到这里"],
  "input.most": ["At most {most}.", "最多 {most} 个。"],
  "input.chosen": ["{field}: chosen files", "{field}：已选文件"],
  "input.number": ["file {n}", "文件 {n}"],
  "input.pasted": ["pasted image", "粘贴的图片"],
  "input.ready": ["ready", "就绪"],
  "input.uploading": ["uploading…", "上传中…"],
  "input.failed": ["failed", "失败"],
  "input.unused": ["not used", "未使用"],
  "input.remove": ["Remove {name}", "移除 {name}"],
  "input.done": ["{name} is uploaded.", "{name} 已上传。"],
  "input.large": ["It is larger than 100 MB.", "文件超过 100 MB。"],
  "input.problem": ["{name} could not be uploaded. {problem}", "{name} 上传失败。{problem}"],
  "input.broken": ["Remove the files that could not be uploaded, or choose them again.", "请移除上传失败的文件，或重新选择。"],
  "input.no.images": ["This model takes no input images.", "此模型不接受输入图片。"],
  "input.no.files": ["This model does not take this kind of file.", "此模型不接受这种文件。"],
  "edit.switched": ["The model is now {model}, because {former} takes no input images.", "已切换到 {model}：{former} 不接受输入图片。"],

  "price.one": ["This request costs {credits}", "本次消耗 {credits}"],
  "price.several": ["These {count} requests cost {credits}", "本次 {count} 个请求共消耗 {credits}"],
  "price.partly": ["These requests cost {credits}, and {count} price is not known yet|These requests cost {credits}, and {count} prices are not known yet", "本次消耗 {credits}，另有 {count} 个价格未知"],
  "price.unknown": ["The price is not known yet", "价格未知"],
  "price.unknown.several": ["The {count} prices are not known yet", "{count} 个价格均未知"],
  "price.row.unknown": ["not known yet", "未知"],
  "confirm.title": ["Send {count} requests?", "发送 {count} 个请求？"],
  "confirm.send": ["Send {count} requests", "发送 {count} 个请求"],
  "confirm.cancel": ["Cancel", "取消"],
  "confirm.wrong": ["Correct this first, or compare with other models.", "请先改正，或换用其他模型对比。"],
  "confirm.emulator": ["The emulator bills nothing.", "模拟器不计费。"],

  "chooser.title": ["Choose a model", "选择模型"],
  "chooser.compare": ["Compare models", "对比模型"],
  "chooser.compare.hint": ["One click sends the same prompt to each model. The page shows the total price first.", "一次点击会把同一提示词发给每个模型。发送前会先显示总价。"],
  "chooser.search": ["Search models", "搜索模型"],
  "chooser.none": ["No model has this name.", "没有这个名称的模型。"],
  "chooser.cancel": ["Cancel", "取消"],
  "chooser.done": ["Compare", "对比"],
  "chooser.needs.input": ["needs an input file", "需要输入文件"],
  "chooser.takes.input": ["takes input files", "可用输入文件"],
  "chooser.no.prompt": ["no prompt", "无提示词"],
  "medium.image": ["Images", "图片"],
  "medium.video": ["Videos", "视频"],
  "medium.audio": ["Audio", "音频"],
  "medium.document": ["Documents", "文档"],
  "medium.text": ["Texts", "文本"],
  "medium.profile": ["Profiles", "人物档案"],
  "medium.character": ["Characters", "角色"],
  "medium.voice": ["Voices", "音色"],

  "results.title": ["Results", "结果"],
  "filter.label": ["Filter the results", "筛选结果"],
  "filter.words": ["Search in prompts", "搜索提示词"],
  "filter.state": ["Status", "状态"],
  "filter.model": ["Model", "模型"],
  "filter.any.state": ["Every status", "全部状态"],
  "filter.any.model": ["Every model", "全部模型"],
  "filter.running": ["Running", "进行中"],
  "filter.done": ["Done", "已完成"],
  "filter.failed": ["Failed", "失败"],
  "filter.uncertain": ["Uncertain", "不确定"],
  "filter.unsaved": ["Made, not saved", "已生成，未保存"],
  "filter.away": ["Put away", "已收起"],
  "filter.found": ["{shown} of the newest {loaded}", "最新 {loaded} 个中的 {shown} 个"],
  "filter.clear": ["Clear the filter", "清除筛选"],
  nothing: ["No result matches.", "没有符合条件的结果。"],
  "empty.title": ["What will you make?", "想生成什么？"],
  "empty.text": ["Write a prompt and press Generate. All results stay in this folder, also when the page is closed. Begin with one of these:", "写下提示词，然后点“生成”。所有结果都保存在此文件夹中，关闭页面也不会丢失。可以从这里开始："],
  "empty.one": ["A red fox in fresh snow, morning light", "晨光中，一只红狐站在新雪里"],
  "empty.two": ["A lighthouse in a storm, oil on canvas", "暴风雨中的灯塔，布面油画"],
  "empty.three": ["A bowl of lemons on blue linen, studio photo", "蓝色亚麻布上的一碗柠檬，棚拍照片"],
  older: ["Show older results", "显示更早的结果"],
  "save.everything": ["Save all", "全部保存"],
  "save.all": ["Saving the files of {count} result.|Saving the files of {count} results.", "正在保存 {count} 个结果的文件。"],
  "save.none": ["There is nothing to save.", "没有可保存的文件。"],

  "state.waiting": ["Waiting to be sent", "排队等待发送"],
  "state.sending": ["Being sent", "发送中"],
  "state.submitting": ["Being sent", "发送中"],
  "state.running": ["In progress", "进行中"],
  "state.queued": ["Waiting in the service's queue", "在服务端排队"],
  "state.processing": ["Being made", "生成中"],
  "state.saving": ["Being saved", "保存中"],
  "left.now": ["almost ready", "马上就好"],
  "left.seconds": ["about {count} second left|about {count} seconds left", "约剩 {count} 秒"],
  "left.minutes": ["about {count} minute left|about {count} minutes left", "约剩 {count} 分钟"],
  "card.progress": ["Progress", "进度"],
  "card.more": ["Show all", "展开"],
  "card.less": ["Show less", "收起全文"],
  "card.result": ["Result", "结果"],
  "card.alt": ["{prompt} ({n} of {count})", "{prompt}（第 {n} 个，共 {count} 个）"],
  "meta.seconds": ["made in {count} s", "用时 {count} 秒"],
  "meta.inputs": ["{count} input file|{count} input files", "{count} 个输入文件"],
  "act.save": ["Save", "保存"],
  "act.save.all": ["Save all", "全部保存"],
  "act.edit": ["Edit this", "以此编辑"],
  "act.use": ["Use again", "再次使用"],
  "act.again": ["Fetch again", "重新获取"],
  "act.withdraw": ["Do not send", "取消发送"],
  "act.away": ["Put away", "收起"],
  "act.back": ["Bring back", "恢复"],
  "away.done": ["It is put away. Choose the status “Put away” to see it.", "已收起。可用状态“已收起”查看。"],
  "back.done": ["It is back.", "已恢复。"],

  "error.failed": ["The service could not make this", "服务未能生成"],
  "error.content": ["The service refused this for its content", "服务因内容问题拒绝了此请求"],
  "error.cancelled": ["The service cancelled this", "服务取消了此任务"],
  "error.declined": ["The service did not accept this request", "服务没有接受此请求"],
  "error.uncertain": ["It is not known whether this was sent", "不确定是否已发送"],
  "error.unsaved": ["This is made, but not saved here", "已生成，但未能保存到本地"],
  "error.fault": ["The page has stopped waiting for this", "页面已停止等待此任务"],
  "error.refused": ["This was not sent", "未发送"],
  "advice.failed": ["Change the prompt or the options, or try another model.", "请修改提示词或选项，或换一个模型。"],
  "advice.uncertain": ["Check your account before you send it again.", "再次发送之前，请先查看账户。"],
  "advice.unsaved": ["Fetch it again: that costs nothing. The service keeps the files for a day.", "可重新获取，不另收费。服务端保留文件一天。"],
  "advice.fault": ["It may still be made. Fetch it again: that costs nothing.", "任务可能仍在进行。可重新获取，不另收费。"],
  "advice.refused": ["Try it again later, or correct the request.", "请稍后再试，或改正请求。"],
  "bill.no": ["Nothing was billed.", "未计费。"],
  "bill.unknown": ["It may have been billed.", "可能已计费。"],
  "bill.yes": ["It is paid for.", "已付费。"],
  details: ["Details", "详情"],
  "details.code": ["Code:", "代码："],
  "details.id": ["Task:", "任务："],
  "end.done": ["Ready: {results} of {prompt}", "已完成：{prompt}，{results}"],
  "end.unsaved": ["Made, not saved: {prompt}", "已生成，未保存：{prompt}"],
  "end.failed": ["Failed: {prompt}", "失败：{prompt}"],
  "end.uncertain": ["Not known whether it was sent: {prompt}", "不确定是否已发送：{prompt}"],
  "end.refused": ["Not sent: {prompt}", "未发送：{prompt}"],

  "view.label": ["Result", "结果"],
  "view.close": ["Close", "关闭"],
  "view.previous": ["Previous", "上一个"],
  "view.next": ["Next", "下一个"],
  "view.save": ["Save", "保存"],
  "view.copyPrompt": ["Copy prompt", "复制提示词"],
  "view.copyId": ["Copy id", "复制 ID"],
  "view.copied": ["Copied", "已复制"],
  "view.notCopied": ["The browser does not allow copying.", "浏览器不允许复制。"],
  "view.broken": ["This file cannot be shown. Save it instead.", "此文件无法显示，请保存后查看。"],
  "view.place": ["{n} of {count}", "第 {n} 个，共 {count} 个"],
  "server.unreachable": ["The server cannot be reached.", "无法连接服务器。"],
  "server.broken": ["The answer of the server is incomplete.", "服务器的回答中断了。"],
  "server.status": ["The server answered with {status}.", "服务器返回了 {status}。"],
  "server.token": ["Open the address with the token, as `foxapi serve` has printed it.", "请打开 `foxapi serve` 输出的带令牌的地址。"],
  "server.content_type": ["This kind of file is not accepted. Choose an image, a video, a sound, a PDF or a ZIP file.", "不接受这种文件。请选择图片、视频、音频、PDF 或 ZIP 文件。"],
  "server.rate_limited": ["Too many requests. Try again later.", "请求过多，请稍后再试。"],
  "server.unavailable": ["The service cannot make anything at the moment.", "服务暂时无法生成。"],
  "server.upstream": ["The service gave no usable answer.", "服务没有给出可用的回答。"],
  "server.uncertain_submit": ["It is not known whether the request was accepted. It may be billed.", "不确定请求是否已被接受，可能已计费。"],
};

const LANGUAGES = ["en", "zh"];
// The first of the browser's preferred languages that the page has.
const language = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => LANGUAGES.includes(tag)) ?? "en";
const column = LANGUAGES.indexOf(language);

// A text, with these values in place of its {fields}.
export function text(key, values = {}) {
  const [one, several] = TEXTS[key][column].split("|");
  const chosen = several === undefined || values.count === 1 ? one : several;
  return chosen.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === "number" ? values[name].toLocaleString(language) : values[name]));
}

export function counted(key, count) {
  return text(key, { count });
}

export function creditsOf(amount) {
  return text("credits", { count: amount, amount: amount.toLocaleString(language, { maximumFractionDigits: 4 }) });
}

export function dateOf(seconds) {
  const date = new Date(seconds * 1000);
  const year = date.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
  return date.toLocaleString(language, { year, month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

// The label of a field. If no table has the field, its label is made from its English name.
export function labelOf(name) {
  const words = name.replaceAll("_", " ");
  return NAMES[name]?.[column] ?? words[0].toUpperCase() + words.slice(1);
}

// The help of a field. If no table has it, it stays English.
export function helpOf(spec) {
  return (language === "zh" && HELP[spec.help]) || spec.help || "";
}

// Fills in the texts of the page itself.
export function showTexts() {
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  document.title = text("title");
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = text(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", text(element.dataset.label));
  for (const element of document.querySelectorAll("[data-placeholder]")) element.placeholder = text(element.dataset.placeholder);
}

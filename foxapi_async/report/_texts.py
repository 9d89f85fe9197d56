"""All texts of the page, in English and in Chinese. The page is in English. If the browser prefers Chinese, the script of
the page puts in the Chinese texts.

`{0}` is the first value. `one|several` is chosen by the first value.
"""

from __future__ import annotations

import html
import json

TEXTS: dict[str, tuple[str, str]] = {
    "title": ("{0}: report", "{0}：报告"),
    "remark.torn": (
        "The manifest's last line is incomplete, as after a killed run. It is not shown.",
        "清单的最后一行不完整（运行被强行结束时会这样），未显示。",
    ),
    "remark.unreadable": (
        "{0} line of the manifest cannot be read: {1}.|{0} lines of the manifest cannot be read: {1}.",
        "清单中有 {0} 行无法读取：{1}。",
    ),
    "remark.last": (
        "The last {0} of {1} items are shown; the figures count all items.",
        "只显示 {1} 项中的最后 {0} 项；统计数字包含所有项。",
    ),
    "remark.ledger": (
        "The sums come from the manifest, because the ledger cannot be read: {0}",
        "账本无法读取，因此合计取自清单：{0}",
    ),
    "remark.empty": ("The manifest has no items yet.", "清单中还没有任何项。"),
    "items": ("items", "项"),
    "state.done": ("done", "已完成"),
    "state.unsaved": ("made, not saved", "已生成，未保存"),
    "state.failed": ("failed", "失败"),
    "state.uncertain": ("uncertain", "不确定"),
    "state.other": ("other", "其他"),
    "running": ("not ended", "未结束"),
    "running.more": ("sent, not in the manifest yet", "已发送，清单中尚无记录"),
    "files": ("files", "文件"),
    "credits": ("credits", "积分"),
    "unknown": ("unknown", "未知"),
    "latency": ("latency {0}", "耗时 {0}"),
    "spend.done": ("{0} done", "已完成 {0}"),
    "spend.unsaved": ("{0} made, not saved", "已生成未保存 {0}"),
    "spend.failed": ("{0} failed", "失败 {0}"),
    "spend.uncertain": ("{0} uncertain", "不确定 {0}"),
    "spend.other": ("{0} other", "其他 {0}"),
    "spend.others": ("{0} earlier submits and running tasks", "较早的提交和进行中的任务 {0}"),
    "spend.unknown": ("{0} item unknown|{0} items unknown", "{0} 项未知"),
    "chart.latency": ("Latency of the finished items", "已完成项的耗时"),
    "chart.longer": ("{0} and longer", "{0} 及以上"),
    "chart.timeline": ("Items ended in each {0}", "每 {0} 结束的项数"),
    "bar.latency": ("{0} in {1} to {2}", "{1} 至 {2}：{0}"),
    "bar.longer": ("{0} longer than {1}", "超过 {1}：{0}"),
    "bar.done": ("{0} done in {1} to {2}", "{1} 至 {2}：已完成 {0}"),
    "bar.unsaved": ("{0} made, not saved in {1} to {2}", "{1} 至 {2}：已生成未保存 {0}"),
    "bar.failed": ("{0} failed in {1} to {2}", "{1} 至 {2}：失败 {0}"),
    "bar.uncertain": ("{0} uncertain in {1} to {2}", "{1} 至 {2}：不确定 {0}"),
    "bar.other": ("{0} other in {1} to {2}", "{1} 至 {2}：其他 {0}"),
    "failures": ("What went wrong", "出了什么问题"),
    "kind.content": ("The service refused the content", "服务因内容问题拒绝"),
    "advice.content": (
        "Change the prompt or the input images of these items, and run the batch again. An item that has an id needs a new one.",
        "请修改这些项的提示词或输入图片，然后重新运行。带有 ID 的项需要换一个新 ID。",
    ),
    "kind.model": ("The model is not available", "模型不可用"),
    "advice.model": (
        "Try again later, or choose another model: foxapi models --mine lists the models that your key may call.",
        "请稍后再试，或换一个模型：foxapi models --mine 会列出你的密钥可用的模型。",
    ),
    "kind.input": ("An input file was not accepted", "输入文件未被接受"),
    "advice.input": (
        "Check that the file is an image or video of the allowed type and size, and that its address is public.",
        "请检查文件的类型和大小是否符合要求，地址是否可公开访问。",
    ),
    "kind.account": ("The account was refused", "账户被拒绝"),
    "advice.account": (
        "Check the key and the credits of the account, and run the same command again.",
        "请检查密钥和账户余额，然后再次运行同一命令。",
    ),
    "kind.request": ("The service did not accept the request", "服务没有接受请求"),
    "advice.request": (
        "Correct the requests as the details say, and run the batch again with --retry-failed.",
        "请按详情改正，然后加上 --retry-failed 重新运行。",
    ),
    "kind.failed": ("The service could not make these", "服务未能生成"),
    "advice.failed": (
        "Run the batch again with --retry-failed: each item is billed again. If they fail once more, change the prompt.",
        "可加上 --retry-failed 重新运行：每一项会再次计费。如果仍然失败，请修改提示词。",
    ),
    "kind.cancelled": ("The service cancelled these", "服务取消了这些任务"),
    "advice.cancelled": (
        "Run the batch again with --retry-failed: each item is billed again.",
        "可加上 --retry-failed 重新运行：每一项会再次计费。",
    ),
    "kind.gone": ("The service does not know these tasks any more", "服务已不再保留这些任务"),
    "advice.gone": (
        "Check your account. The results can no longer be fetched.",
        "请查看账户。这些结果已无法获取。",
    ),
    "kind.unsaved": ("Made, but not saved here", "已生成，但未保存到本地"),
    "advice.unsaved": (
        "They are paid for. Run the same command again within 24 hours: it saves them, and sends nothing again.",
        "这些已付费。请在 24 小时内再次运行同一命令：它会保存文件，不会重新提交。",
    ),
    "kind.unreadable": ("Made, but the result cannot be read", "已生成，但结果无法读取"),
    "advice.unreadable": (
        "They are paid for. The manifest has the answer of the service: give it to the service's support.",
        "这些已付费。清单中有服务返回的原文，请提供给服务方。",
    ),
    "kind.uncertain": ("It is not known whether these were sent", "不确定是否已发送"),
    "advice.uncertain": (
        "Check your account first. Then --resubmit-uncertain sends them again, and some may be billed twice.",
        "请先查看账户。之后可用 --resubmit-uncertain 重新发送，部分可能重复计费。",
    ),
    "kind.other": ("These ended in a way that this page does not know", "以此页面不了解的方式结束"),
    "advice.other": ("Read the details.", "请查看详情。"),
    "billed.yes": ("{0} billed", "{0} 项已计费"),
    "billed.no": ("{0} not billed", "{0} 项未计费"),
    "billed.unknown": ("{0} perhaps billed", "{0} 项可能已计费"),
    "show": ("Show these items", "显示这些项"),
    "details": ("Details", "详情"),
    "more": ("and {0} more", "另有 {0} 个"),
    "list": ("Items", "全部项"),
    "search": ("Search prompts, ids and messages ( / )", "搜索提示词、ID 和消息（/）"),
    "search.label": ("Search prompts, ids and messages", "搜索提示词、ID 和消息"),
    "status": ("Status", "状态"),
    "model": ("Model", "模型"),
    "kind": ("Problem", "问题"),
    "status.all": ("every status", "全部状态"),
    "model.all": ("every model", "全部模型"),
    "kind.all": ("every problem", "全部问题"),
    "count.all": ("{0} shown", "显示 {0} 项"),
    "count.some": ("{0} of {1} shown", "显示 {1} 项中的 {0} 项"),
    "nothing": ("No item matches.", "没有符合条件的项。"),
    "no.file": ("no file", "没有文件"),
    "amount": ("{0} credit|{0} credits", "{0} 积分"),
    "view.label": ("Result", "结果"),
    "view.close": ("Close", "关闭"),
    "view.previous": ("Previous", "上一个"),
    "view.next": ("Next", "下一个"),
    "view.save": ("Save", "保存"),
    "view.copyPrompt": ("Copy prompt", "复制提示词"),
    "view.copyId": ("Copy id", "复制 ID"),
    "view.copied": ("Copied", "已复制"),
    "view.notCopied": ("The browser does not allow copying.", "浏览器不允许复制。"),
    "view.broken": ("This file cannot be shown. Save it instead.", "此文件无法显示，请保存后查看。"),
    "view.place": ("{n} of {count}", "第 {n} 个，共 {count} 个"),
}


def words(key: str, *values: str) -> str:
    """The English text."""
    text = TEXTS[key][0]
    if "|" in text:
        one, several = text.split("|")
        text = one if values[0] == "1" else several
    return text.format(*values)


def said(key: str, *values: str) -> str:
    """The attributes of an element, and its text: `<p{said("empty")}</p>`."""
    return f"{_attributes('text', key, values)}>{escaped(words(key, *values))}"


def labelled(key: str, *values: str) -> str:
    """The attributes that give an element its name for a screen reader."""
    return f'{_attributes("label", key, values)} aria-label="{escaped(words(key, *values))}"'


def _attributes(kind: str, key: str, values: tuple[str, ...]) -> str:
    more = f' data-values="{escaped(json.dumps(values))}"' if values else ""
    return f' data-{kind}="{key}"{more}'


def escaped(text: str) -> str:
    """A text for HTML."""
    return html.escape(text, quote=True)

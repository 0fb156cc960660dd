export default {
  "pulse": "截至 {at}",
  "pulse.never": "尚未读到任何内容",
  "loading": "加载中……",
  "unknown": "未知",
  "javascript": "此页面需要 JavaScript 才能保持更新。",
  "server.away": "服务器没有响应。",
  "server.hangs": "服务器 {seconds} 秒内没有响应。",
  "server.session": "Airflow 会话已结束。请登录后刷新页面。",
  "server.forbidden": "您无权查看插件：请向 Airflow 管理员申请权限。",
  "server.may_not": "您无权执行此操作：需要 Airflow 操作员的权限。",
  "server.answered": "{path} 返回 {status}。",
  "server.since": "{why} 当前显示的是 {at} 的内容；页面会继续查询。",
  "dialog.leave": "取消",
  "dialog.why": "请填写原因：它会与您的名字一起保存。",
  "copy": "复制",
  "copied": "已复制"
};

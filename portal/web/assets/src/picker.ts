// Tom Select with the two plug-ins that are used; a part of its own, loaded only on pages that have a picker.
import TomSelect from "tom-select/base";
import clearButton from "tom-select/plugins/clear_button/plugin.js";
import removeButton from "tom-select/plugins/remove_button/plugin.js";

TomSelect.define("remove_button", removeButton);
TomSelect.define("clear_button", clearButton);
export default TomSelect;

//! Guests that no compiler would write: one of the tests' guests with an additional core module.
//!
//! Their decisions are those of the guest that they are derived from. The additional module,
//! written in this file, is the hostile part. Called by `plugins`.

use wasm_encoder::{
    BlockType, CodeSection, ComponentSection as _, ElementSection, Elements, Function,
    FunctionSection, InstanceSection, Instruction, Module, ModuleSection, RefType, StartSection,
    TableSection, TableType, TypeSection, ValType,
};
use wasmparser::{Parser, Payload};

/// The guest that others are derived from.
const BASE: &str = "guest-hostile";

/// Number of core instances of [`tables`], each with its own table: almost as many as a component
/// can have.
const TABLES: u32 = 60;
/// Number of elements of each table, which is the maximum.
const ELEMENTS: u64 = 200_000;

/// Number of locals of the function in [`bomb`]: register allocation takes time and memory for
/// each.
const LOCALS: u32 = 40_000;
/// Number of loops over all locals in [`bomb`].
const LOOPS: u32 = 14;

/// Returns the components that are derived from this guest, with their names.
pub(super) fn from(guest: &str, component: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    if guest != BASE {
        return Vec::new();
    }
    vec![
        ("guest-tables", with(component, &tables(), TABLES)),
        ("guest-bomb", with(component, &bomb(), 0)),
    ]
}

/// Returns the component with another core module, and `count` instances of it.
fn with(component: &[u8], module: &Module, count: u32) -> Vec<u8> {
    let mut bytes = component.to_vec();
    ModuleSection(module).append_to_component(&mut bytes);
    let mut instances = InstanceSection::new();
    for _ in 0..count {
        instances.instantiate::<_, &str>(core_modules(component), []);
    }
    instances.append_to_component(&mut bytes);
    bytes
}

/// Counts the core modules of a component, without those of nested components.
fn core_modules(component: &[u8]) -> u32 {
    let mut depth = 0;
    let mut count = 0;
    for payload in Parser::new(0).parse_all(component).flatten() {
        match payload {
            Payload::ModuleSection { .. } => {
                count += u32::from(depth == 0);
                depth += 1;
            }
            Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            _ => {}
        }
    }
    count
}

/// A module with one function `() -> ()`.
struct Parts {
    tables: TableSection,
    start: Option<StartSection>,
    elements: ElementSection,
    function: Function,
}

impl Parts {
    fn module(&self) -> Module {
        let mut types = TypeSection::new();
        types.ty().function([], []);
        let mut functions = FunctionSection::new();
        functions.function(0);
        let mut code = CodeSection::new();
        code.function(&self.function);
        let mut module = Module::new();
        module.section(&types).section(&functions);
        if !self.tables.is_empty() {
            module.section(&self.tables);
        }
        if let Some(start) = &self.start {
            module.section(start);
        }
        if !self.elements.is_empty() {
            module.section(&self.elements);
        }
        module.section(&code);
        module
    }
}

/// Returns a module that fills the largest table when it is instantiated, so that all of it is in
/// memory.
fn tables() -> Module {
    let mut tables = TableSection::new();
    tables.table(TableType {
        element_type: RefType::FUNCREF,
        table64: false,
        minimum: ELEMENTS,
        maximum: None,
        shared: false,
    });
    let mut elements = ElementSection::new();
    elements.declared(Elements::Functions(vec![0].into()));
    let mut function = Function::new([]);
    let elements_of_table = i32::try_from(ELEMENTS).unwrap_or(i32::MAX);
    for instruction in [
        Instruction::I32Const(0),
        Instruction::RefFunc(0),
        Instruction::I32Const(elements_of_table),
        Instruction::TableFill(0),
        Instruction::End,
    ] {
        function.instruction(&instruction);
    }
    let parts = Parts {
        tables,
        start: Some(StartSection { function_index: 0 }),
        elements,
        function,
    };
    parts.module()
}

/// Returns a module with one function of some 7 MB, whose locals all depend on each other. It takes
/// gigabytes and minutes to compile, and is never instantiated.
fn bomb() -> Module {
    let mut function = Function::new([(LOCALS, ValType::I32)]);
    for _ in 0..LOOPS {
        function.instruction(&Instruction::Loop(BlockType::Empty));
        for local in 0..LOCALS {
            for instruction in [
                Instruction::LocalGet(local),
                Instruction::LocalGet((local * 7919 + 1) % LOCALS),
                Instruction::I32Add,
                Instruction::LocalSet((local * 31 + 5) % LOCALS),
            ] {
                function.instruction(&instruction);
            }
        }
        function
            .instruction(&Instruction::LocalGet(0))
            .instruction(&Instruction::BrIf(0))
            .instruction(&Instruction::End);
    }
    function.instruction(&Instruction::End);
    let parts = Parts {
        tables: TableSection::new(),
        start: None,
        elements: ElementSection::new(),
        function,
    };
    parts.module()
}
